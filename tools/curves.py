"""The charts of the results page: the accuracy that each method reached, over minutes and over operations."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from lightning_dd.comparison.records import PETA, TITLES, Spent, method_of, operations_spent, seconds_spent
from results_table import MEASURED, minutes, records, representatives

PICTURE = "accuracy_over_cost_{}_ipc{}.png"
FEWEST = 4  # runs that are worth a chart
SOONEST = 0.05  # minutes: the axis is logarithmic, and to choose images takes next to nothing
Point = tuple[float, float, float]
"""What was spent, and the mean and deviation of the accuracy in percent."""


def tasks(root: Path) -> dict[tuple[str, int], dict[str, dict[str, Any]]]:
    """Return the records that stand for their configs, by data set and images per class, and by name."""
    found: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    for config, record in representatives(list(records(root, MEASURED)))[0]:
        found.setdefault((record["dataset"], record["ipc"]), {})[_name(config, record)] = record
    return {task: runs for task, runs in found.items() if len(runs) >= FEWEST}


def _name(config: Path, record: dict[str, Any]) -> str:
    own = "" if config.parent.name in record["method"].lower() else f" ({config.parent.name})"
    return f"{method_of(record)}{own}, {record['evaluations'][-1]['protocol']}"


def over_minutes(record: dict[str, Any]) -> list[Point]:
    """Return the evaluations of a run over minutes, networks trained beforehand included."""
    points = _points(record, seconds_spent, 60) or [(minutes(record), *_accuracy(record["evaluations"][-1]))]
    return [(max(place, SOONEST), *accuracy) for place, *accuracy in points]


def over_operations(record: dict[str, Any]) -> list[Point]:
    """Return the evaluations of a run over PFLOP; none where they are not recorded, as of compiled code."""
    return _points(record, operations_spent, PETA)


def _points(record: dict[str, Any], spent: Spent, unit: float) -> list[Point]:
    known = [(place, entry) for entry in record["evaluations"] if (place := spent(entry))]
    return [(place / unit, *_accuracy(entry)) for place, entry in known]


def _accuracy(evaluation: dict[str, Any]) -> tuple[float, float]:
    return evaluation["accuracy_mean"], evaluation["accuracy_std"]


def charts(root: Path) -> str:
    """Return Markdown that shows a chart for each data set and number of images per class."""
    shown = [(TITLES.get(dataset, dataset), ipc, PICTURE.format(dataset, ipc)) for dataset, ipc in tasks(root)]
    return "\n".join(f"![{title}, {ipc} per class: accuracy over cost]({file})" for title, ipc, file in shown)


def draw(root: Path) -> None:
    """Write the charts beside the page."""
    for (dataset, ipc), runs in tasks(root).items():
        drawn = {
            label: {name: points(record) for name, record in runs.items()}
            for label, points in (("minutes", over_minutes), ("PFLOP, where they are known", over_operations))
        }
        drawn = {label: lines for label, lines in drawn.items() if any(lines.values())}
        figure = Figure(figsize=(5.8 + 3.8 * (len(drawn) - 1), 3.8), layout="constrained")
        panels = figure.subplots(1, len(drawn), sharey=True, squeeze=False)[0]
        for panel, (label, lines) in zip(panels, drawn.items(), strict=True):
            _panel(panel, lines)
            panel.set(xlabel=label)
        panels[0].set(ylabel="test accuracy (%)")
        names = panels[0].get_legend_handles_labels()
        figure.legend(*names, loc="outside right upper", frameon=False, fontsize="small")
        title = f"{TITLES.get(dataset, dataset)}, {ipc} image{'s' * (ipc > 1)} per class"
        figure.suptitle(title, x=0.01, horizontalalignment="left")
        figure.savefig(root / "configs" / PICTURE.format(dataset, ipc), dpi=110)


def _panel(axes: Any, lines: dict[str, list[Point]]) -> None:
    """Draw a line for each run; it has its color and marker in all panels."""
    for number, (name, points) in enumerate(sorted(lines.items())):
        if points:
            places, means, deviations = zip(*points, strict=True)
            style = {"marker": "osD^vP"[number // 10 % 6], "color": f"C{number % 10}", "markersize": 5}
            axes.errorbar(places, means, deviations, label=name, capsize=2, **style)
    axes.set(xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
