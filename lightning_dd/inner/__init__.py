"""Networks inside a step: where they come from, and how they are trained differentiably."""

from lightning_dd.inner.functional import CrossEntropy, FlatNetwork
from lightning_dd.inner.optimizers import SGD, Adam, InnerOptimizer
from lightning_dd.inner.order import fixed_order, random_order
from lightning_dd.inner.sources import FreshNetworks
from lightning_dd.inner.step import InnerStep
from lightning_dd.inner.unroll import unroll

__all__ = [
    "SGD",
    "Adam",
    "CrossEntropy",
    "FlatNetwork",
    "FreshNetworks",
    "InnerOptimizer",
    "InnerStep",
    "fixed_order",
    "random_order",
    "unroll",
]
