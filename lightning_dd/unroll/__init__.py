"""Training a network differentiably."""

from lightning_dd.unroll.batch_order import Schedule
from lightning_dd.unroll.functional import CrossEntropy, FlatNetwork
from lightning_dd.unroll.optimizers import SGD, Adam, InnerOptimizer
from lightning_dd.unroll.step import InnerStep
from lightning_dd.unroll.unroll import unroll

__all__ = ["SGD", "Adam", "CrossEntropy", "FlatNetwork", "InnerOptimizer", "InnerStep", "Schedule", "unroll"]
