"""Stratified splits: the same fraction of each class is set aside."""

import torch
from torch import Tensor


def stratified_split(labels: Tensor, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Set aside a fraction of each class, at random.

    Of a class with two images or more, at least one is set aside and at least one is kept; a single image is kept.

    Args:
        labels: `(N,)` class indices.
        fraction: between 0 and 1; 0 sets nothing aside.
        generator: a CPU generator; it serves the classes in ascending order.

    Returns:
        Indices of what is kept and of what is set aside, both ascending.
    """
    aside = torch.zeros(len(labels), dtype=torch.bool)
    if fraction > 0:
        for label in labels.unique(sorted=True):
            members = (labels == label).nonzero().flatten()
            count = min(max(round(len(members) * fraction), 1), len(members) - 1)
            aside[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    return (~aside).nonzero().flatten(), aside.nonzero().flatten()
