"""Measure what methods cost at growing numbers of images: `cost --methods DM DC --ipc 1 10 50`.

A cell is a method at a number of images per class, on random images, as published but that its inner training sees all
synthetic images in each step, and that of networks trained beforehand there is one, of one epoch. Measured are one
outer loop, its loss with the backward pass, the networks' updates, and peak memory. A cell that will not fit, judged by
the smaller ones, is not tried; one that runs out of memory or time ends alone. The same command goes on from the cells
that are finished.
"""

import argparse
import csv
import json
import math
from pathlib import Path
from typing import Any

import yaml

from lightning_dd.app import names
from lightning_dd.app.commands import parser
from lightning_dd.app.costs.estimate import free_memory
from lightning_dd.artifact.files import atomic, check_folder
from lightning_dd.errors import UserError

LEARNING = tuple(name for name, method in names.METHODS.items() if method.learns)
"""A coreset's step does nothing that could be measured, and experts are no synthetic set."""
NAMED = tuple(name for name, data in names.DATA.items() if data.shape)


def main(arguments: list[str]) -> int:
    """Run the sweep and return the exit code.

    Raises:
        UserError: there is no such method, data set or setting.
    """
    options = _parser().parse_args(arguments)
    _check(options)
    if options.worker:
        from lightning_dd.app.costs.worker import run

        print(json.dumps(run(options.methods[0], options.ipc[0], options)))
        return 0
    from lightning_dd.app.costs.sweep import sweep

    rows = sweep(options)
    if all(row["status"] != "measured" for row in rows):
        raise UserError(f"Nothing was measured, and {options.out} is as it was: {rows[0]['status']}")
    _write(rows, options)
    return 0


def _parser() -> argparse.ArgumentParser:
    made = parser("cost")
    add = made.add_argument
    add("--methods", nargs="+", default=list(LEARNING), metavar="METHOD", help="default: all that learn images")
    add("--ipc", nargs="+", type=int, default=[1, 2, 5, 10, 20, 50], metavar="IPC", help="images per class")
    add("--data", default="CIFAR10", metavar="NAME", help="data set whose shape and classes are taken")
    add("--options", nargs="+", default=[], metavar="METHOD.OPTION=VALUE", help="settings, such as DC.class_chunk=2")
    add("--width", type=int, help="channels of the ConvNet, in place of each method's network")
    add("--steps", type=int, default=3, help="measured steps of a cell, after one that is not")
    add("--minutes", type=float, default=30, help="longest time of a cell")
    add("--memory", type=float, metavar="GIB", help="largest memory of a cell; default: nine tenths of what is free")
    add("--out", type=Path, default=Path("runs/cost"), metavar="FOLDER", help="where the CSV and the plots go")
    add("--worker", action="store_true", help=argparse.SUPPRESS)
    add("--limit", type=int, help=argparse.SUPPRESS)
    return made


def _check(options: argparse.Namespace) -> None:
    for method in options.methods:
        if method not in LEARNING:
            raise UserError(f"There is no method '{method}'; there are {', '.join(LEARNING)}.")
    if options.data not in NAMED:
        raise UserError(f"--data is one of {', '.join(NAMED)}, not {options.data}.")
    if min(*options.ipc, options.steps, 1 if options.width is None else options.width) < 1:
        raise UserError("--ipc, --steps and --width are numbers above 0.")
    memory = 1.0 if options.memory is None else options.memory
    if not options.minutes > 0 or not math.isfinite(options.minutes) or not memory > 0:
        raise UserError("--minutes and --memory are numbers above 0.")
    data, limit = names.DATA[options.data], free_memory()
    smallest = 4 * min(options.ipc) * data.classes * math.prod(data.shape)
    if limit and smallest > limit:
        raise UserError(f"--ipc {min(options.ipc)} alone takes {smallest / 2**30:,.0f} GiB; this machine has less.")
    if not options.worker:  # which writes nothing
        check_folder(options.out)
    options.settings = settings_of(options.options)
    for method in options.settings:
        if method not in options.methods:
            raise UserError(f"--options says something of {method}, which is not among --methods.")


def settings_of(words: list[str]) -> dict[str, dict[str, Any]]:
    """Return the settings of each method from words such as `DC.class_chunk=2`.

    Raises:
        UserError: one of them has another form.
    """
    settings: dict[str, dict[str, Any]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        method, dot, option = name.partition(".")
        if not equals or not dot:
            raise UserError(f"--options takes METHOD.OPTION=VALUE, such as DC.class_chunk=2, not '{word}'.")
        if method not in names.METHODS:
            raise UserError(f"There is no method '{method}', as '{word}' has it; `list methods` has their names.")
        try:
            settings.setdefault(method, {})[option] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UserError(f"--options cannot read the value in '{word}'.") from None
    return settings


def _write(rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Write the CSV and the plots."""
    from lightning_dd.app.costs import plots  # the workers read this file too, and do without matplotlib

    with atomic(options.out / "cost.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    paths = plots.draw(rows, options.out, f"{options.data}, {options.device}")
    print(f"In {options.out}: {', '.join(['cost.csv', *(path.name for path in paths)])}.")
