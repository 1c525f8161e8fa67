"""Runs the sides of a task, each run in a fresh process, and puts the runs together."""

import json
import os
import statistics
import subprocess
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.sides import Side, references

# a setting of the shell must not decide what is compared
SCRUBBED = ("MALLOC_", "THP_MEM_ALLOC", "LD_PRELOAD", "GLIBC_TUNABLES", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerError(Exception):
    """A run ended without a result; the message is the end of what it printed."""


def compare(
    command: Sequence[str], sides: Mapping[str, Side], options: Namespace, folder: Path
) -> dict[str, dict[str, Any]]:
    """Run every side `options.repeats` times, taking turns, and return its medians, the ratios and the agreement.

    Args:
        command: starts a worker, given `--worker SIDE --answer FILE` besides.
        sides: what to run.
        options: of the tool.
        folder: an empty folder for answers and for what is compiled.

    Raises:
        WorkerError: a run failed.
    """
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    answers = {name: folder / f"answer_{number}.pt" for number, name in enumerate(sides)}
    for repeat in range(options.repeats):
        for name in sides:
            print(f"run {repeat + 1} of {options.repeats}: {name}", file=sys.stderr, flush=True)
            runs[name].append(_run([*command, "--worker", name, "--answer", str(answers[name])], folder))
    rows = {name: _middle(runs[name]) for name in sides}
    for name, row in rows.items():
        baselines = references(sides, sides[name].group)
        for allocator in ("default", "tuned"):
            baseline = rows.get(baselines.get(allocator, ""))
            row[f"speedup_over_{allocator}"] = baseline and baseline["seconds"] / row["seconds"]
        reference = answers.get(baselines.get("tuned", baselines.get("default", "")))
        row.update(_agreement(answers[name], reference))
    return rows


def _agreement(answer: Path, reference: Path | None) -> dict[str, float | None]:
    """Return cosine and relative error of two saved tensors; None for both without a reference."""
    if reference is None:
        return {"cosine": None, "relative_error": None}
    ours, theirs = (torch.load(path, weights_only=True).double().flatten() for path in (answer, reference))
    size = theirs.norm().clamp_min(torch.finfo(torch.float64).tiny)
    return {
        "cosine": torch.nn.functional.cosine_similarity(ours, theirs, dim=0, eps=1e-300).item(),
        "relative_error": ((ours - theirs).norm() / size).item(),
    }


def _middle(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the median over runs of every number; for lists, of each run's median."""
    medians = [
        {key: statistics.median(value) if isinstance(value, list) else value for key, value in run.items()}
        for run in runs
    ]
    columns = {key: [run[key] for run in medians] for key in medians[0]}
    row = {key: None if None in values else statistics.median(values) for key, values in columns.items()}
    return {**row, "seconds_min": min(columns["seconds"]), "seconds_max": max(columns["seconds"]), "runs": runs}


def _run(command: list[str], folder: Path) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(SCRUBBED)}
    # a cache of this invocation's own: the first run compiles cold, the later ones find it
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "compiled")
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise WorkerError("\n".join((result.stdout + result.stderr).splitlines()[-20:]))
    return json.loads(result.stdout.strip().splitlines()[-1])
