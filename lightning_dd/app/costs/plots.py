"""The plots of a cost sweep: time and memory against images per class, both logarithmic."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from lightning_dd.artifact.files import atomic

DPI = 150
MARKERS = "osD^vP*X<>hp"
LEAST_SPAN = 4
LEAST = 1e-3  # GiB; a logarithm wants more than nothing

Row = Mapping[str, Any]


def draw(rows: Sequence[Row], folder: Path, title: str) -> list[Path]:
    """Write `cost_time.png` (the whole outer loop and the loss) and `cost_memory.png`, and return their paths.

    Cells that were not measured end the line of their method; nothing is drawn where none was.
    """
    if not any(row["status"] == "measured" for row in rows):
        return []
    time = Figure(figsize=(10.5, 4.2), layout="constrained")
    left, right = time.subplots(1, 2, sharey=True)
    _lines(left, rows, "seconds_per_step", 1, "one outer loop (s)", "Whole outer loop")
    _lines(right, rows, "seconds_loss", 1, "", "Loss and its backward pass")
    memory = Figure(figsize=(6.2, 4.2), layout="constrained")
    axes = memory.subplots()
    before = min(row["memory_before_bytes"] for row in rows if row["status"] == "measured") / 2**30
    axes.axhline(max(before, LEAST), color="0.6", linestyle=":", label="before the first step")
    _lines(axes, rows, "peak_memory_bytes", 2**30, "peak memory (GiB)", "Peak memory")
    paths = [folder / "cost_time.png", folder / "cost_memory.png"]
    for figure, path in zip((time, memory), paths, strict=True):
        named = figure.axes[0].get_legend_handles_labels()
        figure.legend(*named, loc="outside right center", frameon=False, fontsize=8)  # beside the lines, not on them
        figure.suptitle(title, fontsize=9, color="0.35")
        with atomic(path) as temporary:
            figure.savefig(temporary, dpi=DPI, format="png")
    return paths


def _lines(axes: Axes, rows: Sequence[Row], key: str, unit: float, ylabel: str, title: str) -> None:
    for number, method in enumerate(dict.fromkeys(row["method"] for row in rows)):
        own = [row for row in rows if row["method"] == method]
        points = [(row["ipc"], row[key] / unit) for row in own if row["status"] == "measured" and row[key]]
        missing = [str(row["ipc"]) for row in own if "memory" in row["status"]]
        name = method + (f" (IPC {', '.join(missing)}: too large)" if missing else "")
        if points:
            axes.plot(*zip(*points, strict=True), marker=MARKERS[number % len(MARKERS)], label=name, color=f"C{number}")
        elif missing:
            axes.plot([], [], label=name, color=f"C{number}")
    ipcs = sorted({row["ipc"] for row in rows})
    axes.set(xscale="log", yscale="log", xlabel="images per class", ylabel=ylabel, title=title)
    axes.set_xticks(ipcs, list(map(str, ipcs)))
    axes.xaxis.set_minor_locator(NullLocator())
    for which in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        which(FuncFormatter(lambda value, _: f"{value:g}"))
    low, high = axes.get_ylim()
    if high / low < LEAST_SPAN:  # noise is no trend
        middle = (high * low) ** 0.5
        low, high = middle / LEAST_SPAN**0.5, middle * LEAST_SPAN**0.5
        axes.set_ylim(low, high)
    if high / low > 20:  # powers of ten say enough
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
