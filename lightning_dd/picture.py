"""Distilled images as a picture for people."""

import os

import torch
from torch import Tensor

from lightning_dd.files import atomic

COLUMNS = 10


def tile(images: Tensor, columns: int, gap: int = 1) -> Tensor:
    """Arrange images in rows of `columns` on a white page.

    Args:
        images: `(N, C, H, W)` in [0, 1] pixel units; values outside are clipped, here and nowhere else.
        columns: images in a row.
        gap: pixels between images.

    Returns:
        `(rows * (H + gap) + gap, columns * (W + gap) + gap, 3)` in [0, 1].
    """
    images = images.detach().float().cpu().clamp(0, 1)
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    number, _, height, width = images.shape
    rows = -(-number // columns)
    page = torch.ones(rows * (height + gap) + gap, columns * (width + gap) + gap, 3)
    for index, image in enumerate(images):
        top, left = gap + (index // columns) * (height + gap), gap + (index % columns) * (width + gap)
        page[top : top + height, left : left + width] = image.permute(1, 2, 0)
    return page


def save_picture(path: str | os.PathLike, images: Tensor, labels: Tensor, class_names: tuple[str, ...]) -> None:
    """Write a PNG: a row for each class with its name, or with one image a class, rows of ten with names below.

    Args:
        path: where the PNG goes; it is replaced atomically.
        images: `(N, C, H, W)` in [0, 1] pixel units.
        labels: `(N,)` class indices.
        class_names: in the order of the indices.

    Raises:
        UserError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    order = labels.argsort(stable=True)
    images, labels = images[order], labels[order]
    single = len(images) == len(class_names)
    if not single:  # at most ten of each class
        images = torch.cat([images[labels == c][:COLUMNS] for c in labels.unique()])
    columns = min(COLUMNS, len(images)) if single else min(COLUMNS, int(labels.bincount().max()))
    gap = max(1, images.shape[-2] // 3) if single else 1
    page = tile(images, columns, gap)
    scale = 0.9 / images.shape[-1]  # inches a pixel: an image is 0.9 inches wide whatever its size
    margin = 0.0 if single else 1.4
    figure = Figure(figsize=(page.shape[1] * scale + margin, page.shape[0] * scale))
    axes = figure.add_axes((margin / figure.get_figwidth(), 0, 1 - margin / figure.get_figwidth(), 1))
    axes.imshow(page.numpy(), interpolation="nearest", aspect="auto")
    axes.axis("off")
    _write_names(axes, class_names, columns, images.shape[-2:], gap, single)
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png")


def _write_names(
    axes: object, class_names: tuple[str, ...], columns: int, size: tuple[int, int], gap: int, single: bool
) -> None:
    height, width = size
    for index, name in enumerate(class_names):
        if single:
            x = gap + (index % columns) * (width + gap) + width / 2
            y = gap + (index // columns) * (height + gap) + height + gap * 0.45
            axes.text(x, y, name, ha="center", va="center", fontsize=9)
        else:
            axes.text(-1, gap + index * (height + gap) + height / 2, name, ha="right", va="center", fontsize=9)
