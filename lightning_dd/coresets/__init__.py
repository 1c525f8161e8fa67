"""Choosing real images: initialisers of synthetic sets and baselines to compare with."""

from lightning_dd.coresets.forgetting import forgetting_events, most_forgotten
from lightning_dd.coresets.herding import herding
from lightning_dd.coresets.k_center import k_center
from lightning_dd.coresets.k_means import k_means
from lightning_dd.coresets.random_real import random_real
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
