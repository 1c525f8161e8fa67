"""List what there is: `list methods`, `data`, `networks`, `protocols`, `configs` or `sets`.

With a word behind it, only what has the word in its line, as a whole one where there is such: `list configs cifar10`.
Sets are the distilled sets that come with the program, and those of the runs in this folder.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from lightning_dd.app import names
from lightning_dd.app.commands import parser
from lightning_dd.app.configs import configs
from lightning_dd.app.headers import description
from lightning_dd.artifact.shipped import shipped_sets
from lightning_dd.comparison.records import of_split
from lightning_dd.errors import UserError

Row = tuple[str, ...]


def main(arguments: list[str]) -> int:
    """Print a list and return the exit code.

    Raises:
        UserError: nothing in the list has the word.
    """
    made = parser("list")
    made.add_argument("kind", choices=tuple(KINDS), metavar="KIND", help=f"one of {', '.join(KINDS)}")
    made.add_argument("word", nargs="?", default="", metavar="WORD", help="only lines that have it")
    made.add_argument("--runs", type=Path, default=Path("runs"), metavar="FOLDER", help="where runs went; for sets")
    options = made.parse_intermixed_args(arguments)
    rows = list(_sets(options.runs)) if options.kind == "sets" else list(KINDS[options.kind]())
    rows = _with_word(rows, options.word.lower())
    if not rows:
        raise UserError(f"There are no {options.kind}" + (f" with '{options.word}'." if options.word else " yet."))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _with_word(rows: list[Row], word: str) -> list[Row]:
    """Return the rows that have a word, as a whole one where there are such; all for no word."""
    whole = [row for row in rows if word in re.split(r"[\s/,()_]+", " ".join(row).lower())] if word else []
    return whole or [row for row in rows if word in " ".join(row).lower()]


def _methods() -> Iterable[Row]:
    for name, method in names.METHODS.items():
        steps = f"{method.steps:,} steps" if method.learns else ""
        yield name, method.about, steps, method.paper.rpartition("(")[2].strip(")")


def _data() -> Iterable[Row]:
    for name, data in names.DATA.items():
        size = f"{'x'.join(map(str, data.shape))}, {data.classes} classes" if data.shape else ""
        yield name, size, f"{data.images:,} to train on" if data.images else "", data.about


def _configs() -> Iterable[Row]:
    for name, path in configs().items():
        with path.open(encoding="utf-8") as file:
            yield name, file.readline().strip("# \n")


def _sets(runs: Path = Path("runs")) -> Iterable[Row]:
    made_here = {str(path): path for path in sorted(runs.rglob("distilled.safetensors"))}
    for name, path in {**shipped_sets(), **made_here}.items():
        info = description(path).get("info")
        if info is not None:
            made = f"{info.get('method', '?')}, {info.get('dataset', '?')}, {info.get('ipc', '?')} per class"
            yield name, made, "" if "selected" in info else accuracy(info)


def accuracy(info: dict) -> str:
    """Return the last accuracy that a set's record holds, for people."""
    for last in info.get("evaluations", [])[-1:]:
        spread = f" ± {last['accuracy_std']:.1f}" if last["num_networks"] > 1 else ""
        how = f"{last['num_networks']} x {last['network']}, {last['protocol']}{of_split(last)}"
        return f"{last['accuracy_mean']:.1f}{spread} % ({how})"
    return "not evaluated"


KINDS = {
    "methods": _methods,
    "data": _data,
    "networks": names.NETWORKS.items,
    "protocols": names.PROTOCOLS.items,
    "configs": _configs,
    "sets": _sets,
}
