"""Choosing real images: initializers of synthetic sets and baselines to compare with."""

from lightning_dd.coresets.random_real import random_real
from lightning_dd.coresets.rules import forgetting_events, herding, k_center, k_means, most_forgotten
from lightning_dd.coresets.select import Selection, select

__all__ = [
    "Selection",
    "forgetting_events",
    "herding",
    "k_center",
    "k_means",
    "most_forgotten",
    "random_real",
    "select",
]
