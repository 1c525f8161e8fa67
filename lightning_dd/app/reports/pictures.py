"""Pictures that stand in the page itself, as data URIs."""

import base64
import io
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.picture import page_of

IMAGES_PER_CLASS = 10
LARGEST_GRID = 1000  # images; a page of more would be slow to open


def strips(distilled: DistilledDataset) -> list[tuple[str, str, int]]:
    """Return for each class its name, its first images in a row as a PNG, and how many these are."""
    shown = max(1, min(IMAGES_PER_CLASS, LARGEST_GRID // distilled.num_classes))
    found = []
    for index, name in enumerate(distilled.class_names):
        images = distilled.images[distilled.hard_labels == index][:shown]
        if len(images):
            found.append((name, _png(page_of(images, len(images)).permute(1, 2, 0)), len(images)))
    return found


def _png(page: Tensor) -> str:
    """Return an image `(H, W, 3)` in [0, 1] as the data URI of a PNG."""
    from PIL import Image

    text = io.BytesIO()
    Image.fromarray((page * 255).round().to(torch.uint8).numpy()).save(text, format="png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(text.getvalue()).decode()}"


def accuracy_curve(evaluations: Sequence[dict[str, Any]]) -> str:
    """Return accuracy over steps as an SVG without size: the page decides. The band is one standard deviation."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "report"}):  # text stays text
        figure = Figure(figsize=(4.8, 2.7), layout="constrained")
        axes = figure.subplots()
        for color, key, name in (("C0", "accuracy", "distilled"), ("C1", "random_real", "random real")):
            points = [entry for entry in evaluations if entry[f"{key}_mean"] is not None]
            if not points:
                continue
            steps, means, stds = ([entry[part] for entry in points] for part in ("step", f"{key}_mean", f"{key}_std"))
            axes.plot(steps, means, marker="o", label=name, color=color)
            low, high = ([mean + sign * std for mean, std in zip(means, stds, strict=True)] for sign in (-1, 1))
            axes.fill_between(steps, low, high, alpha=0.15, color=color, linewidth=0)
        axes.set(xlabel="steps", ylabel="accuracy (%)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    return re.sub(r'<svg height="[^"]*" version="1.1" viewBox="([^"]*)" width="[^"]*"', r'<svg viewBox="\1"', svg)
