"""Callbacks: evaluation, what a run leaves behind, and how it ends."""

from lightning_dd.callbacks.agreement import Agreement
from lightning_dd.callbacks.best import Best
from lightning_dd.callbacks.checkpoint import LastCheckpoint
from lightning_dd.callbacks.cost import Cost
from lightning_dd.callbacks.evaluation import Evaluation
from lightning_dd.callbacks.gallery import Gallery
from lightning_dd.callbacks.guard import Guard
from lightning_dd.callbacks.product import Product
from lightning_dd.callbacks.progress import ProgressBar

__all__ = ["Agreement", "Best", "Cost", "Evaluation", "Gallery", "Guard", "LastCheckpoint", "Product", "ProgressBar"]
