"""The table of what a step costs, of the sweep that `python -m lightning_dd cost --out configs/costs` made."""

import csv
from pathlib import Path

from results_table import markdown

PICTURES = {"cost_time.png": "time of an outer loop", "cost_memory.png": "peak memory"}
GIB = 2**30
UNMEASURED = {"memory": "too large", "minutes": "too long"}
"""Short forms of what the sweep says of a cell."""


def cost_table(root: Path) -> str:
    """Return a row for each method and a column for each number of images per class, as Markdown, and the plots."""
    path = root / "configs" / "costs" / "cost.csv"
    if not path.is_file():
        return "Not measured yet."
    with path.open(newline="") as file:
        cells = {(row["method"], int(row["ipc"])): _cell(row) for row in csv.DictReader(file)}
    methods, numbers = (list(dict.fromkeys(parts)) for parts in zip(*cells, strict=True))
    heading = ["method", *(f"{number} per class" for number in numbers)]
    table = markdown(heading, ([name, *(cells.get((name, number), "-") for number in numbers)] for name in methods))
    pictures = "\n".join(f"![{title}](costs/{file})" for file, title in PICTURES.items())
    return f"{table}\n\n{pictures}"


def _cell(row: dict[str, str]) -> str:
    """Return seconds of an outer loop, of the loss in it, and gibibytes; a dash where they are not known."""
    if row["status"] != "measured":
        return next((word for sign, word in UNMEASURED.items() if sign in row["status"]), "-")
    loss = f"{float(row['seconds_loss']):.3g}" if row["seconds_loss"] else "-"
    return f"{float(row['seconds_per_step']):.3g} / {loss} s, {int(row['peak_memory_bytes']) / GIB:.1f} GiB"
