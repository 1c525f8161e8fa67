"""Stratified splits and samples: each class gives the same fraction."""

import torch
from torch import Tensor

from lightning_dd.rng import generator as keyed

TEST_FRACTION = 0.2
"""Of each class, what is kept out for testing where there is no test part."""


def stratified_split(labels: Tensor, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Set aside a fraction of each class, at random.

    Of a class with two images or more, at least one is set aside and at least one is kept; a single image is kept, and
    a fraction of 0 sets nothing aside. The generator is on CPU and serves the classes in ascending order.

    Returns:
        Indices of labels `(N,)` that are kept and that are set aside, both ascending.
    """
    aside = torch.zeros(len(labels), dtype=torch.bool)
    if fraction > 0:
        for label in labels.unique(sorted=True):
            members = (labels == label).nonzero().flatten()
            count = min(max(round(len(members) * fraction), 1), len(members) - 1)
            aside[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    return (~aside).nonzero().flatten(), aside.nonzero().flatten()


def part_rows(labels: Tensor, split: str, test_fraction: float, purpose: str = "test part") -> Tensor:
    """Return the rows of the "train" or the "test" part of images that come as one; the same for every seed."""
    train, test = stratified_split(labels, test_fraction, keyed(0, purpose))
    return train if split == "train" else test


def stratified_sample(labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Choose images at random, of each class as many as is its share.

    Returns:
        `(min(count, N),)` indices of labels `(N,)`, ascending.
    """
    shuffled = torch.randperm(len(labels), generator=generator)
    sizes = labels.bincount()
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    ranks = torch.cat([(torch.arange(size) + 0.5) / size for size in sizes.tolist()])
    # the first of every class, then the second of every class, and so on, larger classes more often
    return by_class[ranks.argsort(stable=True)[:count]].sort().values
