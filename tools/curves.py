"""The charts of the results page: accuracy over minutes, for records that were measured on the way."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lightning_dd.app.reports.pictures import over_time, seconds_spent
from lightning_dd.comparison.records import TITLES, method_of
from results_table import MEASURED, records

PICTURE = "accuracy_over_minutes_{}_ipc{}.png"
Runs = dict[str, list[dict[str, Any]]]


def curves(root: Path) -> dict[tuple[str, int], Runs]:
    """Return the evaluations of each run that has several, by data set and images per class, and by name."""
    found: dict[tuple[str, int], Runs] = {}
    for config, record in sorted(records(root, MEASURED), key=lambda entry: str(entry[0])):
        evaluations = record["evaluations"]
        if len(evaluations) > 1 and over_time(evaluations):
            own = "" if config.parent.name in record["method"].lower() else f" ({config.parent.name})"
            name = f"{method_of(record)}{own}, protocol {evaluations[-1]['protocol']}"
            found.setdefault((record["dataset"], record["ipc"]), {}).setdefault(name, evaluations)
    return found


def charts(root: Path) -> str:
    """Return Markdown that shows a chart for each data set and number of images per class."""
    tasks = [(TITLES.get(dataset, dataset), ipc, PICTURE.format(dataset, ipc)) for dataset, ipc in curves(root)]
    if not tasks:
        return "No run with a record was measured on the way yet."
    return "\n".join(f"![{title}, {ipc} per class: accuracy over minutes]({file})" for title, ipc, file in tasks)


def draw(root: Path) -> None:
    """Write the charts beside the page."""
    for (dataset, ipc), runs in curves(root).items():
        figure = Figure(figsize=(6.4, 3.4), layout="constrained")
        axes = figure.subplots()
        for name, evaluations in runs.items():
            minutes = [seconds_spent(entry) / 60 for entry in evaluations]
            means, spreads = ([entry[f"accuracy_{part}"] for entry in evaluations] for part in ("mean", "std"))
            axes.errorbar(minutes, means, spreads, marker="o", capsize=2, label=name)
        title = f"{TITLES.get(dataset, dataset)}, {ipc} image{'s' * (ipc > 1)} per class"
        axes.set(xlabel="minutes, networks trained beforehand included", ylabel="test accuracy (%)", title=title)
        axes.legend(frameon=False)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(root / "configs" / PICTURE.format(dataset, ipc), dpi=120)
