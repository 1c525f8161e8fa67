"""Networks inside a step: where they come from and how they are trained."""

from lightning_dd.inner.lamb import LAMB
from lightning_dd.inner.pool import NetworkPool
from lightning_dd.inner.sources import FreshNetworks

__all__ = ["LAMB", "FreshNetworks", "NetworkPool"]
