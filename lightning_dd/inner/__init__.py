"""Networks inside a step: where they come from, how they are trained and differentiated."""

from lightning_dd.inner.class_gradients import class_gradients, class_gradients_in_chunks
from lightning_dd.inner.sources import FreshNetworks
from lightning_dd.inner.training import train_on_synthetic

__all__ = ["FreshNetworks", "class_gradients", "class_gradients_in_chunks", "train_on_synthetic"]
