"""Networks inside a step: where they come from."""

from lightning_dd.inner.sources import FreshNetworks

__all__ = ["FreshNetworks"]
