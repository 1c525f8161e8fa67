"""Networks inside a step: where they come from, how they are trained and differentiated."""

from lightning_dd.inner.class_gradients import class_gradients, class_gradients_in_chunks
from lightning_dd.inner.functional import CrossEntropy, FlatNetwork
from lightning_dd.inner.lamb import LAMB
from lightning_dd.inner.optimizers import SGD, Adam, InnerOptimizer
from lightning_dd.inner.pool import NetworkPool
from lightning_dd.inner.schedule import Schedule
from lightning_dd.inner.sources import FreshNetworks
from lightning_dd.inner.step import InnerStep
from lightning_dd.inner.training import train_on_synthetic
from lightning_dd.inner.unroll import unroll

__all__ = [
    "LAMB",
    "SGD",
    "Adam",
    "CrossEntropy",
    "FlatNetwork",
    "FreshNetworks",
    "InnerOptimizer",
    "InnerStep",
    "NetworkPool",
    "Schedule",
    "class_gradients",
    "class_gradients_in_chunks",
    "train_on_synthetic",
    "unroll",
]
