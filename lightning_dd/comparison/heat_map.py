"""A table of accuracies as a picture."""

import os
from collections.abc import Sequence

from lightning_dd.artifact.files import atomic
from lightning_dd.comparison.grid import Cell
from lightning_dd.comparison.tables import figure, networks_of, rows_of

COLORS = "YlGnBu"
DARK = 0.6  # of the range; above it text is white
CELL_WIDTH, CELL_HEIGHT = 1.15, 0.5  # inches
LETTER = 0.095  # inches, of a column's heading
DPI = 150


def save_heat_map(path: str | os.PathLike, cells: Sequence[Cell], title: str) -> None:
    """Write a PNG with a row for each set and a column for each network, coloured by accuracy.

    Args:
        path: where the PNG goes; it is replaced atomically.
        cells: the table; accuracies in percent.
        title: what stands above.

    Raises:
        UserError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    rows, networks = rows_of(cells), networks_of(cells)
    found = {(cell.set, cell.labels, cell.ipc, cell.network): cell for cell in cells}
    means = [[found[(*row, network)].mean for network in networks] for row in rows]
    headings = [network.replace(":", "\n").replace(",", "\n") for network in networks]
    longest = max(len(line) for heading in headings for line in heading.split("\n"))
    size = (len(networks) * max(CELL_WIDTH, LETTER * longest) + 3, len(rows) * CELL_HEIGHT + 2)
    page = Figure(figsize=size, layout="constrained")
    axes = page.subplots()
    image = axes.imshow(means, cmap=COLORS, aspect="auto")
    axes.set_xticks(range(len(networks)), headings)
    axes.set_yticks(range(len(rows)), [_row_name(row, rows) for row in rows])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="left", fontsize=10, pad=10)
    for y, row in enumerate(rows):
        for x, network in enumerate(networks):
            color = "white" if image.norm(means[y][x]) > DARK else "black"
            axes.text(x, y, figure(found[(*row, network)]), ha="center", va="center", color=color, fontsize=9)
    page.colorbar(image, ax=axes, label="accuracy (%)", shrink=0.9)
    with atomic(path) as temporary:
        page.savefig(temporary, dpi=DPI, format="png")


def _row_name(row: tuple[str, str, int], rows: list[tuple[str, str, int]]) -> str:
    """Return a set's name with what tells it from others: label regime and images per class."""
    name, labels, ipc = row
    parts = [name]
    if len({other[2] for other in rows}) > 1:
        parts.append(f"IPC {ipc}")
    if labels != "hard" and labels not in name:
        parts.append(f"{labels} labels" if labels == "soft" else labels)
    return ", ".join(parts)
