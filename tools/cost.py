"""Measure what methods cost at growing numbers of images: `python tools/cost.py --methods DM DC --ipc 1 10 50`.

A cell is a method at a number of images per class, on random images, as published but that its inner training sees all
synthetic images in each step. Measured are one outer loop, its loss with the backward pass, the networks' updates, and
peak memory. A cell that will not fit, judged by the smaller ones, is not tried; one that runs out of memory or time
ends alone. The same command goes on from the cells that are finished.
"""

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from costs import estimate
from costs.worker import known_methods, run
from lightning_dd import data as data_sets
from lightning_dd.artifact.files import atomic
from lightning_dd.comparison.cells import Cells
from lightning_dd.errors import UserError

HERE = Path(__file__).resolve()
MEASURES = ("seconds_per_step", "seconds_loss", "seconds_networks", "peak_memory_bytes", "memory_before_bytes")
KILLED = (-9, 137)


def main(arguments: list[str]) -> int:
    """Run the sweep and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        _check(options)
        if options.worker:
            print(json.dumps(run(options.methods[0], options.ipc[0], options)))
            return 0
        _write(_sweep(options), options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--methods", nargs="+", default=list(known_methods()), metavar="METHOD", help="default: all that learn images")
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
    return parser


def _check(options: argparse.Namespace) -> None:
    known = known_methods()
    for method in options.methods:
        if method not in known:
            raise UserError(f"There is no method '{method}'; there are {', '.join(known)}.")
    known_sets = [name for name in data_sets.__all__ if getattr(getattr(data_sets, name), "facts", None)]
    if options.data not in known_sets:
        raise UserError(f"--data is one of {', '.join(known_sets)}, not {options.data}.")
    if min(options.ipc) < 1 or options.steps < 1:
        raise UserError("--ipc and --steps are numbers above 0.")
    options.settings = settings_of(options.options)


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
        settings.setdefault(method, {})[option] = yaml.safe_load(value)
    return settings


def _sweep(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure every cell that can be measured and return a row for each."""
    cells, rows = Cells(options.out / "cells.json"), []
    number = len(options.methods) * len(options.ipc)
    print(f"{number} cells, each in a process of its own, at most {options.minutes:g} minutes long:", flush=True)
    for method in options.methods:
        measured: dict[int, dict[str, Any]] = {}
        full = False  # a smaller cell was too large
        for ipc in sorted(options.ipc):
            too_large = {"failed": "out of memory at fewer images"}
            result = too_large if full else _cell(method, ipc, measured, cells, options)
            status = result.get("failed", "measured")
            full |= "memory" in status
            if status == "measured":
                measured[ipc] = result
            rows.append({"method": method, "ipc": ipc, "status": status, **{key: result.get(key) for key in MEASURES}})
            print(_line(rows[-1]), flush=True)
    return rows


def _cell(
    method: str, ipc: int, measured: dict[int, dict[str, Any]], cells: Cells, options: argparse.Namespace
) -> dict[str, Any]:
    """Return what a cell costs, or under `failed` why that is not known."""
    about = {"data": options.data, "width": options.width, "steps": options.steps}
    what = {"method": method, "ipc": ipc, "settings": options.settings.get(method, {}), **about}
    if found := cells.get(what):
        return found
    limit = int(options.memory * 2**30) if options.memory else estimate.free_memory()
    memory, seconds = (
        estimate.expected({key: cell[name] for key, cell in measured.items()}, ipc)
        for name in ("peak_memory_bytes", "seconds_per_step")
    )
    if memory and limit and memory > limit:
        return {"failed": f"would need {memory / 2**30:.1f} GiB of memory, not tried"}
    if seconds and seconds * (options.steps + 1) > 60 * options.minutes:
        return {"failed": f"would take {seconds * (options.steps + 1) / 60:.0f} minutes, not tried"}
    result = _run(method, ipc, limit, options)
    if "failed" not in result:
        cells.put(what, result)
    return result


def _run(method: str, ipc: int, limit: int | None, options: argparse.Namespace) -> dict[str, Any]:
    """Measure a cell in a fresh process."""
    command = [sys.executable, str(HERE), "--worker", "--methods", method, "--ipc", str(ipc), "--data", options.data]
    for name, value in (("steps", options.steps), ("limit", limit), ("width", options.width)):
        command += [f"--{name}", str(value)] if value else []
    command += ["--options", *options.options] if options.options else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60 * options.minutes)
    except subprocess.TimeoutExpired:
        return {"failed": f"not finished after {options.minutes:g} minutes"}
    if done.returncode in KILLED:
        return {"failed": "out of memory"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        return {"failed": "out of memory" if "bad_alloc" in done.stderr else f"failed: {last}"}
    return json.loads(done.stdout.strip().splitlines()[-1])


def _write(rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Write the CSV and the plots."""
    from costs import plots  # a lean process until here: the first memory of a child is that of its parent
    from lightning_dd.runtime.environment import device_name

    with atomic(options.out / "cost.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    paths = plots.draw(rows, options.out, f"{options.data}, {device_name()}")
    print(f"In {options.out}: {', '.join(['cost.csv', *(path.name for path in paths)])}.")


def _line(row: dict[str, Any]) -> str:
    name = f"{row['method']:>8} IPC {row['ipc']:<4}"
    if row["status"] != "measured":
        return f"{name} {row['status']}"
    loss = f"{row['seconds_loss']:.3g} s" if row["seconds_loss"] else "-"
    memory = f"{row['peak_memory_bytes'] / 2**30:.2f} GiB"
    return f"{name} {row['seconds_per_step']:.3g} s an outer loop, {loss} of it the loss, {memory}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
