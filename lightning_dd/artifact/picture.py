"""Distilled images as a picture for people."""

import os

from torch import Tensor
from torch.nn import functional as F

from lightning_dd.artifact.files import atomic

COLUMNS = 10
DPI = 100
LONGEST = 60_000  # pixels of a side; matplotlib draws fewer than 2^16


def page_of(images: Tensor, columns: int, gap: int = 1) -> Tensor:
    """Arrange images `(N, C, H, W)` in [0, 1] pixel units, clipped here and nowhere else, in rows on a white page.

    Returns:
        `(3, rows * (H + gap) + gap, min(N, columns) * (W + gap) + gap)` in [0, 1].
    """
    from torchvision.utils import make_grid

    images = images.detach().float().cpu().clamp(0, 1)
    page = make_grid(images, columns, gap, pad_value=1)
    return F.pad(page, [gap] * 4, value=1) if len(images) == 1 else page  # which make_grid leaves without a border


def save_picture(path: str | os.PathLike, images: Tensor, labels: Tensor, class_names: tuple[str, ...]) -> None:
    """Write a PNG: a row for each class with its name, or with one image a class, rows of ten with names below.

    The images are `(N, C, H, W)` in [0, 1] pixel units, the labels `(N,)` class indices.

    Raises:
        UserError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    counts = labels.bincount(minlength=len(class_names))
    single = bool((counts == 1).all())
    columns = min(COLUMNS, len(images) if single else int(counts.max()))
    images = images[labels.argsort()] if single else _rows(images, labels, len(class_names), columns)
    gap = max(1, images.shape[-2] // 3) if single else 1
    page = page_of(images, columns, gap).permute(1, 2, 0)
    scale = 0.9 / images.shape[-1]  # inches a pixel: an image is 0.9 inches wide whatever its size
    margin = 0.0 if single else 1.4
    figure = Figure(figsize=(page.shape[1] * scale + margin, page.shape[0] * scale))
    axes = figure.add_axes((margin / figure.get_figwidth(), 0, 1 - margin / figure.get_figwidth(), 1))
    axes.imshow(page.numpy(), interpolation="nearest", aspect="auto")
    axes.axis("off")
    _write_names(axes, class_names, columns, images.shape[-2:], gap, single)
    dpi = min(DPI, LONGEST / max(figure.get_size_inches()))
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=dpi, format="png")


def _rows(images: Tensor, labels: Tensor, num_classes: int, columns: int) -> Tensor:
    """Return the first `columns` images of each class, filled up with white."""
    page = images.new_ones(num_classes, columns, *images.shape[1:])
    for c in range(num_classes):
        first = images[labels == c][:columns]
        page[c, : len(first)] = first
    return page.flatten(0, 1)


def _write_names(
    axes: object, class_names: tuple[str, ...], columns: int, size: tuple[int, int], gap: int, single: bool
) -> None:
    height, width = size
    for index, name in enumerate(class_names):
        row, column = divmod(index, columns) if single else (index, 0)
        x = gap + column * (width + gap) + width / 2 if single else -1
        y = gap + row * (height + gap) + (height + gap * 0.45 if single else height / 2)
        axes.text(x, y, name, ha="center" if single else "right", va="center", fontsize=9, parse_math=False)
