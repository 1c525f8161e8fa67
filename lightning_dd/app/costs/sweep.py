"""Every cell of a sweep, each measured in a process of its own."""

import argparse
import json
import subprocess
import sys
from typing import Any

from lightning_dd import __version__
from lightning_dd.app.costs import estimate
from lightning_dd.comparison.cells import Cells
from lightning_dd.runtime.environment import device_name

MEASURES = ("seconds_per_step", "seconds_loss", "seconds_networks", "peak_memory_bytes", "memory_before_bytes")
KILLED = (-9, 137)


def sweep(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure every cell that can be measured and return a row for each."""
    cells, rows = Cells(options.out / "cells.json"), []
    options.device = device_name()
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
    about |= {"device": options.device, "version": __version__}
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
    command = [sys.executable, "-m", "lightning_dd", "cost", "--worker"]
    command += ["--methods", method, "--ipc", str(ipc), "--data", options.data]
    for name, value in (("steps", options.steps), ("limit", limit), ("width", options.width)):
        command += [f"--{name}", str(value)] if value else []
    own = [word for word in options.options if word.startswith(f"{method}.")]
    command += ["--options", *own] if own else []
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


def _line(row: dict[str, Any]) -> str:
    name = f"{row['method']:>8} IPC {row['ipc']:<4}"
    if row["status"] != "measured":
        return f"{name} {row['status']}"
    loss = f"{row['seconds_loss']:.3g} s" if row["seconds_loss"] else "-"
    memory = f"{row['peak_memory_bytes'] / 2**30:.2f} GiB"
    return f"{name} {row['seconds_per_step']:.3g} s an outer loop, {loss} of it the loss, {memory}"
