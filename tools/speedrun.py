"""The speedrun table: the fewest minutes in which CIFAR-10 at 10 images per class reaches a test accuracy.

A row is a group of runs that differ in their seed alone, three or more; the mean of their accuracies has to reach the
mark, at the first step at which all were measured. Minutes count everything: distilling, and networks trained before.
"""

import json
import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from lightning_dd.comparison.records import commands, seconds_spent
from results_table import MEASURED, changed_options, linked, markdown, options_but, records

MARKS = (50, 60, 65)  # percent
TASK = "cifar10", 10
SEEDS = 3
COLUMNS = ["mark", "minutes", "accuracy", "method", "options", "steps", "seeds x networks", "protocol", "device"]
Run = tuple[Path, dict[str, Any]]


def speedrun_table(root: Path) -> str:
    """Return the table as Markdown: for each mark, all groups that reach it, the quickest first."""
    groups = list(_groups(root))
    rows = []
    for mark in MARKS:
        reached = [(step, group) for group in groups if (step := _first_step(mark, group)) is not None]
        found = sorted(_row(step, group) for step, group in reached)
        rows += [[f"{mark} %", f"{minutes:.1f}", *cells] for minutes, *cells in found]
        rows += [] if found else [[f"{mark} %", *["-"] * (len(COLUMNS) - 1)]]
    return markdown(COLUMNS, rows)


def _groups(root: Path) -> Iterator[Sequence[Run]]:
    """Yield runs of one config, with one set of options, on one device."""
    found: dict[str, dict[int, Run]] = defaultdict(dict)
    for config, record in records(root, MEASURED):
        if (record["dataset"], record["ipc"]) == TASK and "superseded" not in record:
            options = [each for each in changed_options(commands(record)) if "seed_everything" not in each]
            held_out = dict(options_but(shlex.split(commands(record)[-1]), ())).get("--data.held_out")
            length = record["steps"], record["evaluations"][-1]["num_networks"], held_out
            alike = json.dumps([str(config), options, record["environment"]["device"], *length])
            found[alike].setdefault(record["seed"], (config, record))
    yield from (list(group.values()) for group in found.values() if len(group) >= SEEDS)


def _at(record: dict[str, Any], step: int) -> dict[str, Any] | None:
    """Return the evaluation of a run at a step that knows what was spent before it."""
    return next((each for each in record["evaluations"] if each["step"] == step and each.get("spent")), None)


def _first_step(mark: float, group: Sequence[Run]) -> int | None:
    """Return the first step at which the mean over runs reaches a mark; None where none does."""
    for step in sorted({entry["step"] for _, record in group for entry in record["evaluations"]}):
        measured = [_at(record, step) for _, record in group]
        if all(measured) and fmean(entry["accuracy_mean"] for entry in measured) >= mark:
            return step
    return None


def _row(step: int, group: Sequence[Run]) -> list[Any]:
    measured = [_at(record, step) for _, record in group]
    config, record = group[0]
    options = [each for each in changed_options(commands(record)) if not each.startswith(("`evaluation.", "`seed"))]
    return [
        fmean(seconds_spent(entry) for entry in measured) / 60,
        f"{fmean(entry['accuracy_mean'] for entry in measured):.1f}",
        linked(config, record),
        ", ".join(options) or "as in the config",
        f"{step:,}",
        f"{len(group)} x {measured[0]['num_networks']}",
        f"`{measured[0]['protocol']}`",
        record["environment"]["device"],
    ]
