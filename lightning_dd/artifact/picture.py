"""Distilled images as a picture for people."""

import base64
import io
import os
from html import escape
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn import functional as F

from lightning_dd.artifact.files import atomic

if TYPE_CHECKING:
    from lightning_dd.artifact.dataset import DistilledDataset

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

    The images are `(N, C, H, W)` in [0, 1] pixel units, the labels `(N,)` class indices; classes without images are
    left out.

    Raises:
        UserError: the file cannot be written.
    """
    content = png(images, labels, class_names)
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def png(images: Tensor, labels: Tensor, class_names: tuple[str, ...]) -> bytes:
    """Return the PNG of `save_picture`."""
    from matplotlib.figure import Figure

    present, labels = labels.unique(return_inverse=True)
    class_names = tuple(class_names[index] for index in present.tolist())
    counts = labels.bincount()
    single = bool((counts == 1).all())
    columns = min(COLUMNS, len(images) if single else int(counts.max()))
    images = images[labels.argsort()] if single else _rows(images, labels, len(class_names), columns)
    gap = max(1, images.shape[-2] // 3) if single else 1
    page = page_of(images, columns, gap).permute(1, 2, 0)
    scale = max(0.9 / images.shape[-1], 1 / DPI)  # inches a pixel: 0.9 inches an image, but no pixel is lost
    margin = 0.0 if single else 1.4
    figure = Figure(figsize=(page.shape[1] * scale + margin, page.shape[0] * scale))
    axes = figure.add_axes((margin / figure.get_figwidth(), 0, 1 - margin / figure.get_figwidth(), 1))
    axes.imshow(page.numpy(), interpolation="nearest", aspect="auto")
    axes.axis("off")
    _write_names(axes, class_names, columns, images.shape[-2:], gap, single)
    content = io.BytesIO()
    figure.savefig(content, dpi=min(DPI, LONGEST / max(figure.get_size_inches())), format="png")
    return content.getvalue()


def html(distilled: "DistilledDataset") -> str:
    """Return a set's picture and facts for a notebook."""
    picture = base64.b64encode(png(distilled.images, distilled.hard_labels, distilled.class_names)).decode()
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(str(value))}</td></tr>"
        for name, value in _facts(distilled).items()
        if value
    )
    return f"<img src='data:image/png;base64,{picture}' alt='the distilled images'><table>{rows}</table>"


def _facts(distilled: "DistilledDataset") -> dict[str, Any]:
    info, shape = distilled.info, "x".join(map(str, distilled.image_shape))
    selected = info.get("selected", [])
    record = (info.get("evaluations") or [{}])[-1]
    accuracy = ""
    if record and not selected:
        real = record["random_real_mean"]
        accuracy = f"{record['accuracy_mean']:.1f} % ({record['network']}, protocol {record['protocol']})"
        accuracy += "" if real is None else f"; random real images {real:.1f} %"
    return {
        "method": " on ".join(str(info[key]) for key in ("method", "dataset") if key in info),
        "images": f"{len(distilled)} of {shape}, {distilled.images_per_class} of each class",
        "classes": ", ".join(selected or distilled.class_names[:COLUMNS])
        + (", ..." if not selected and distilled.num_classes > COLUMNS else ""),
        "labels": "" if distilled.label_kind == "index" else distilled.label_hint,
        "accuracy": accuracy,
        "folder": distilled.folder or "",
    }


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
