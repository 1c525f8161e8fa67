"""Pictures that stand in the page itself, as data URIs."""

import base64
import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.picture import page_of
from lightning_dd.comparison.records import PETA, Spent, all_recorded, operations_spent, seconds_spent

IMAGES_PER_CLASS = 10
WIDTH = 1070  # pixels of the page: no image is drawn smaller than it is
LARGEST_GRID = 1000  # images; a page of more would be slow to open


def strips(distilled: DistilledDataset) -> list[tuple[str, str, int]]:
    """Return for each class its name, its first images in a row as a PNG, and how many these are."""
    fitting = WIDTH // (distilled.image_shape[2] + 1)
    shown = max(1, min(IMAGES_PER_CLASS, LARGEST_GRID // distilled.num_classes, fitting))
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
    """Return accuracy over the time of distilling, or over steps where this is unknown; bands are one deviation."""
    if all_recorded(seconds_spent, evaluations):
        unit, seconds = _unit(evaluations)
        places, axis = [seconds_spent(entry) / seconds for entry in evaluations], f"{unit} of distilling"
    else:
        places, axis = [entry["step"] for entry in evaluations], "steps"

    def draw(axes: Any) -> None:
        for key, name in (("accuracy", "distilled"), ("random_real", "random real")):
            _curve(axes, places, evaluations, key, name)

    return _svg(draw, axis)


def accuracy_over_time(runs: dict[str, Sequence[dict[str, Any]]]) -> str:
    """Return the accuracy of several runs, by name, over the time of distilling."""
    unit, seconds = _unit([entry for evaluations in runs.values() for entry in evaluations])
    return _accuracy_over(runs, seconds_spent, seconds, f"{unit} of distilling")


def accuracy_over_operations(runs: dict[str, Sequence[dict[str, Any]]]) -> str:
    """Return the accuracy of several runs, by name, over their floating-point operations, the same on any device."""
    return _accuracy_over(runs, operations_spent, PETA, "PFLOP, networks trained beforehand included")


def _accuracy_over(runs: dict[str, Sequence[dict[str, Any]]], spent: Spent, unit: float, axis: str) -> str:
    def draw(axes: Any) -> None:
        for name, evaluations in runs.items():
            _curve(axes, [spent(entry) / unit for entry in evaluations], evaluations, "accuracy", name)

    return _svg(draw, axis)


def _unit(evaluations: Sequence[dict[str, Any]]) -> tuple[str, int]:
    """Return the unit of time that suits the longest, and its seconds."""
    longest = max(seconds_spent(entry) for entry in evaluations)
    return ("seconds", 1) if longest < 120 else ("minutes", 60) if longest < 7200 else ("hours", 3600)


def _curve(axes: Any, places: Sequence[float], entries: Sequence[dict[str, Any]], key: str, name: str) -> None:
    points = [
        (place, entry[f"{key}_mean"], entry[f"{key}_std"])
        for place, entry in zip(places, entries, strict=True)
        if entry[f"{key}_mean"] is not None
    ]
    if not points:
        return
    places, means, stds = zip(*points, strict=True)
    (line,) = axes.plot(places, means, marker="o", label=name)
    low, high = ([mean + sign * std for mean, std in zip(means, stds, strict=True)] for sign in (-1, 1))
    axes.fill_between(places, low, high, alpha=0.15, color=line.get_color(), linewidth=0)


def _svg(draw: Callable[[Any], None], axis: str) -> str:
    """Return a chart over an axis of that name as an SVG without size: the page decides."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "report"}):  # text stays text
        figure = Figure(figsize=(4.8, 2.7), layout="constrained")
        axes = figure.subplots()
        draw(axes)
        axes.set(xlabel=axis, ylabel="accuracy (%)")
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=axis == "steps"))
        axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    return re.sub(r'<svg height="[^"]*" version="1.1" viewBox="([^"]*)" width="[^"]*"', r'<svg viewBox="\1"', svg)
