"""Callbacks: evaluation, what a run leaves behind, and how it ends."""

from lightning_dd.callbacks.agreement import Agreement
from lightning_dd.callbacks.best import BestCheckpoint
from lightning_dd.callbacks.checkpoint import AtomicCheckpointIO, LastCheckpoint
from lightning_dd.callbacks.cost import Cost
from lightning_dd.callbacks.evaluation import Evaluation
from lightning_dd.callbacks.gallery import Gallery
from lightning_dd.callbacks.guard import Guard
from lightning_dd.callbacks.product import Product
from lightning_dd.callbacks.progress import ProgressBar

__all__ = [
    "Agreement",
    "AtomicCheckpointIO",
    "BestCheckpoint",
    "Cost",
    "Evaluation",
    "Gallery",
    "Guard",
    "LastCheckpoint",
    "Product",
    "ProgressBar",
]
