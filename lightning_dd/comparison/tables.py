"""A table of accuracies as text, Markdown and CSV."""

import csv
import io
from collections.abc import Sequence

from lightning_dd.comparison.grid import Cell

ABOUT = ("set", "labels", "ipc")
HEADINGS = {"set": "trained on", "labels": "labels", "ipc": "images per class"}

Row = tuple[str, str, int]
"""The set, its label regime, images per class."""


def rows_of(cells: Sequence[Cell]) -> list[Row]:
    """Return the rows of a table in order."""
    return list(dict.fromkeys((cell.set, cell.labels, cell.ipc) for cell in cells))


def networks_of(cells: Sequence[Cell]) -> list[str]:
    """Return the columns of a table in order."""
    return list(dict.fromkeys(cell.network for cell in cells))


def figure(cell: Cell | None) -> str:
    """Return mean and standard deviation for people; one network has no spread."""
    if cell is None:
        return "-"
    return f"{cell.mean:.1f}" + (f" ± {cell.std:.1f}" if len(cell.accuracies) > 1 else "")


def screen(cells: Sequence[Cell]) -> str:
    """Return the table for a terminal; a network's options are below its name."""
    networks = networks_of(cells)
    names = [network.partition(":") for network in networks]
    heading = [*ABOUT, *(name for name, _, _ in names)]
    lines = [heading, ["", "", "", *(options for _, _, options in names)], *_body(cells)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = 2  # columns of words; numbers are right-aligned
    return "\n".join(
        "  ".join(
            text.ljust(width) if place < left else text.rjust(width)
            for place, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
        if any(line)
    )


def markdown(cells: Sequence[Cell]) -> str:
    """Return the table as Markdown."""
    heading = [*HEADINGS.values(), *(f"`{network}`" for network in networks_of(cells))]
    rule = ["---", "---", *["---:"] * (len(heading) - 2)]
    body = [[text.replace("|", "\\|") for text in line] for line in _body(cells)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (heading, rule, *body))


def comma_separated(cells: Sequence[Cell]) -> str:
    """Return one line for each cell, with mean, standard deviation and each accuracy."""
    records = [cell.record() for cell in cells]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**record, "accuracies": " ".join(map(str, record["accuracies"]))} for record in records)
    return text.getvalue()


def _body(cells: Sequence[Cell]) -> list[list[str]]:
    found = {(cell.set, cell.labels, cell.ipc, cell.network): cell for cell in cells}
    networks = networks_of(cells)
    return [[*map(str, row), *(figure(found.get((*row, network))) for network in networks)] for row in rows_of(cells)]
