"""Networks inside a step: where they come from, and how they are trained differentiably."""

from lightning_dd.inner.functional import CrossEntropy, FlatNetwork
from lightning_dd.inner.optimizers import SGD, Adam, InnerOptimizer
from lightning_dd.inner.schedule import Schedule
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
    "Schedule",
    "unroll",
]
