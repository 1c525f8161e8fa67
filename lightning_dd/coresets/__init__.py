"""Choosing real images: initialisers of synthetic sets and baselines to compare with."""

from lightning_dd.coresets.random_real import random_real

__all__ = ["random_real"]
