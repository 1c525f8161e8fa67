"""Random resized crops, mirror images and shuffled patches, parameters per image, as photographs are trained on."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

ATTEMPTS = 10
"""Boxes that are drawn for an image until one lies within it."""


def draw_boxes(
    count: int,
    size: tuple[int, int],
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    """Return boxes `(count, 4)` in images of `size`, (H, W): first row, first column, height and width in pixels.

    Args:
        count: number of boxes.
        size: of the images.
        scale: least and largest share of the image's area, uniform in between.
        ratio: least and largest width over height, uniform in its logarithm. Where no box fits, it is the largest
            with such a ratio.
        generator: on the CPU.
    """
    height, width = size
    share, place = torch.rand(2, ATTEMPTS, count, generator=generator)
    area = height * width * (scale[0] + share * (scale[1] - scale[0]))
    low, high = map(math.log, ratio)
    aspect = torch.exp(low + place * (high - low))
    sides = torch.stack([(area / aspect).sqrt(), (area * aspect).sqrt()], -1).round().long()
    whole = torch.tensor(size)
    fits = ((sides >= 1) & (sides <= whole)).all(-1)
    chosen = sides[fits.long().argmax(0), torch.arange(count)]
    largest = torch.tensor([min(height, round(width / ratio[0])), min(width, round(height * ratio[1]))])
    chosen = torch.where(fits.any(0)[:, None], chosen, largest)
    offsets = torch.rand(count, 2, generator=generator, dtype=torch.float64) * (whole - chosen + 1)
    return torch.cat([offsets.long(), chosen], 1)


def crop_boxes(images: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the part of each image `(N, C, H, W)` in its box `(N, 4)`, resized to `size`, (H', W')."""
    parts = []
    for image, (top, left, height, width) in zip(images, boxes.tolist(), strict=True):
        part = image[None, :, top : top + height, left : left + width]
        same = (height, width) == tuple(size)
        parts.append(part if same else F.interpolate(part, size, mode="bilinear", antialias=True))
    return torch.cat(parts)


def mirror_some(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return images `(N, C, H, W)`, each mirrored with probability 0.5; the generator is on the CPU."""
    mirrored = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)


def shuffle_patches(images: Tensor, factor: int, generator: torch.Generator) -> Tensor:
    """Return images `(N, C, H, W)` whose grid of `factor` x `factor` patches has its rows and its columns shuffled.

    Pixels beyond a multiple of `factor` stay where they are; the generator is on the CPU.
    """
    rows, columns = (_shuffled(len(images), side, factor, generator).to(images.device) for side in images.shape[2:])
    images = images.gather(2, rows[:, None, :, None].expand_as(images))
    return images.gather(3, columns[:, None, None, :].expand_as(images))


def _shuffled(count: int, side: int, factor: int, generator: torch.Generator) -> Tensor:
    """Return source positions `(count, side)`: the order of `factor` spans is another one for each image."""
    span = side // factor
    order = torch.rand(count, factor, generator=generator).argsort(1)
    moved = (order[:, :, None] * span + torch.arange(span)).flatten(1)
    return torch.cat([moved, torch.arange(factor * span, side).expand(count, -1)], 1)
