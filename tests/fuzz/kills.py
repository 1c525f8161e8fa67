"""Runs that are killed at random moments and go on, until they are finished.

A run is a fork of this process, which has imported everything: most kills then hit the run and not its imports.
"""

import os
import random
import signal
import time
from pathlib import Path

import torch
from fuzz_runs import CONF

import lightning_dd as dd
from lightning_dd.app.cli import main

METHODS = {"dm": 60, "dc": 60, "frepo": 60, "mtt": 40, "dance": 60}
"""Steps of a run."""
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
OFTEN = ("--checkpoint.every_n_steps", "1", "--product.every_n_steps", "3", "--gallery.every_n_steps", "7")
EVALUATED = ("--evaluation.enabled", "true", "--evaluation.every_n_steps", "25", "--evaluation.num_networks", "1")
EVALUATED += ("--evaluation.epochs", "1", "--evaluation.random_real", "false")
STARTING = 60  # seconds until a run must have made something
LONGEST = 1.5  # seconds after that until a run is killed


def start(method: str, root: Path, log: Path, *more: str) -> int:
    """Start a run in a process of its own, and return the process's number."""
    child = os.fork()
    if child:
        return child
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    steps = ("--trainer.max_steps", str(METHODS[method])) if method in METHODS else ()
    words = ["fit", "--config", str(CONF.with_name(f"{method}_digits.yaml")), "--trainer.default_root_dir", str(root)]
    options = () if method == "experts" else (*OFTEN, *EVALUATED)
    code = 70  # of an error that nobody worded
    try:
        code = main([*words, *steps, *options, *more])
    finally:
        os._exit(code)


def code_of(child: int) -> int:
    """Wait for a process, and return its exit code, or the signal that killed it as a negative number."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def product(root: Path) -> dd.DistilledDataset:
    """Return the result of the only run below a folder."""
    (found,) = root.rglob("distilled.safetensors")
    return dd.load(found)


def killed(method: str, root: Path, log: Path, kills: int, draw: random.Random) -> int:
    """Make runs, one after the other, each going on after every kill, until there were so many kills.

    Returns:
        How many runs that took; each ended with the images and the records of an uninterrupted one.
    """
    whole = root / "whole"
    assert code_of(start(method, whole, log)) == 0, log.read_text()[-3000:]
    runs = 0
    while kills:
        place = root / f"killed{runs}"
        while (code := _one(method, place, log, kills, draw)) is not None:
            assert code in (-9, -15, 130, 143), (code, log.read_text()[-3000:])
            kills -= 1
        runs += 1
        ours, theirs = product(place), product(whole)
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.labels, theirs.labels)
        scores = [[each["accuracies"] for each in found.info["evaluations"]] for found in (ours, theirs)]
        assert scores[0] == scores[1]
        left = [path for path in place.rglob(".*") if path.is_file()]
        assert not left, left
    return runs


def _one(method: str, root: Path, log: Path, kills: int, draw: random.Random) -> int | None:
    """Start or go on with a run, and kill it; None where it was not killed, and ended well."""
    last = ("--ckpt_path", "last") if any(root.rglob("last.ckpt")) else ()
    before = _written(root)
    child = start(method, root, log, *last)
    if kills:
        early, begun = draw.random() < 0.2, time.monotonic()
        while not early and _written(root) == before and time.monotonic() - begun < STARTING:
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
            time.sleep(0.005)
        time.sleep(draw.random() * LONGEST)
        os.kill(child, draw.choice(SIGNALS))  # it is ours until we wait for it
    code = code_of(child)
    assert code != 0 or any(root.rglob("last.ckpt"))
    return code or None


def _written(root: Path) -> float:
    """Return when a checkpoint below a folder was last written; 0 before."""
    times = []
    for path in root.rglob("last.ckpt"):
        try:
            times.append(path.stat().st_mtime)
        except FileNotFoundError:
            continue
    return max(times, default=0.0)
