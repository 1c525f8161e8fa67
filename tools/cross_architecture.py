"""The cross-architecture table, of what `lightning_dd evaluate ... --out configs/cross_architecture` found."""

import json
from pathlib import Path

from matplotlib.figure import Figure

from lightning_dd.comparison import tables
from lightning_dd.comparison.grid import Cell

PICTURE = "accuracy.png"
KEPT = ("set", "labels", "ipc", "network", "accuracies")
DARK = 0.6  # of the range of accuracies; from there on, figures are white


def cross_table(root: Path) -> str:
    """Return a row for each set and a column for each network as Markdown, and the heat map."""
    cells = _cells(root)
    if not cells:
        return "Not measured yet."
    return f"{tables.markdown(cells)}\n\n![Accuracy of each set under each network](cross_architecture/{PICTURE})"


def draw(root: Path) -> None:
    """Write the heat map, if there is a table."""
    cells = _cells(root)
    if not cells:
        return
    rows, networks = tables.rows_of(cells), tables.networks_of(cells)
    found = {((cell.set, cell.labels, cell.ipc), cell.network): cell for cell in cells}
    means = [[found[row, name].mean if (row, name) in found else float("nan") for name in networks] for row in rows]
    figure = Figure(figsize=(1.1 + 0.85 * len(networks), 1.1 + 0.34 * len(rows)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(means, cmap="YlGnBu", aspect="auto")
    low, high = image.get_clim()
    for place, cell in ((_place(cell, rows, networks), cell) for cell in cells):
        ink = "white" if cell.mean > low + DARK * (high - low) else "black"
        axes.text(*place, f"{cell.mean:.1f}", ha="center", va="center", color=ink, fontsize=8)
    axes.set_xticks(range(len(networks)), [name.replace(":norm=", "\n") for name in networks], fontsize=8)
    axes.set_yticks(
        range(len(rows)), [name + ("" if kind == "hard" else f", {kind}") for name, kind, *_ in rows], fontsize=8
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.savefig(root / "configs" / "cross_architecture" / PICTURE, dpi=120)


def _place(cell: Cell, rows: list[tables.Row], networks: list[str]) -> tuple[int, int]:
    return networks.index(cell.network), rows.index((cell.set, cell.labels, cell.ipc))


def _cells(root: Path) -> list[Cell]:
    """Return the cells of the table; none where it was not measured."""
    path = root / "configs" / "cross_architecture" / "evaluation.json"
    if not path.is_file():
        return []
    return [Cell(**{name: cell[name] for name in KEPT}) for cell in json.loads(path.read_text())["cells"]]
