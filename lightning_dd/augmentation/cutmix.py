"""CutMix (arXiv 1905.04899): a rectangle of each image from another, and labels mixed by area."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F


def cutmix(images: Tensor, labels: Tensor, num_classes: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a mixed mini-batch: one rectangle for all images, its area uniform in [0, 1] before the border clips it.

    Args:
        images: `(N, C, H, W)`.
        labels: class indices `(N,)`, or probabilities `(N, num_classes)`.
        num_classes: length of the mixed labels.
        generator: on the CPU.

    Returns:
        Images of the same shape, and probabilities `(N, num_classes)`.
    """
    height, width = images.shape[-2:]
    area, row, column = torch.rand(3, generator=generator).tolist()
    partner = torch.randperm(len(images), generator=generator).to(images.device)
    rows, columns = (_span(place, size, area**0.5) for place, size in ((row, height), (column, width)))
    mixed = images.clone()
    mixed[..., rows, columns] = images[partner][..., rows, columns]
    share = (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
    soft = labels if labels.ndim == 2 else F.one_hot(labels, num_classes).to(images.dtype)
    return mixed, torch.lerp(soft, soft[partner], share)


def mix_some(
    batches: Iterable[tuple[Tensor, Tensor]], probability: float, num_classes: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the mini-batches, each mixed with a probability; see `cutmix`."""
    for images, labels in batches:
        mixed = torch.rand((), generator=generator).item() < probability
        yield cutmix(images, labels, num_classes, generator) if mixed else (images, labels)


def _span(place: float, size: int, side: float) -> slice:
    """Return the pixels of a side relative to `size` around a relative place, within the image."""
    center, half = int(place * size), int(side * size) // 2
    return slice(max(0, center - half), min(size, center + half))
