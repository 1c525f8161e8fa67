"""Runs on a disk that gets full: run inside a small file system of its own, in its mount point `run`.

At each size, a run makes two steps with room, then goes on with so many KiB left, and another one starts there.
"""

import json
import os
import sys
from pathlib import Path

import torch
import yaml
from fuzz_runs import fit
from harness import outcome
from PIL import Image

import lightning_dd as dd

SLOW = 120  # seconds of a run at most
SIZES = (4, 8, 12, 16, 20, 24, 32, 40, 60, 100, 200)  # KiB


def whole(folder: Path) -> int:
    """Read every file below a folder to its end, and return how many there are."""
    readers = {
        ".ckpt": lambda path: torch.load(path, weights_only=True),
        ".json": lambda path: json.loads(path.read_text()),
        ".yaml": lambda path: yaml.safe_load(path.read_text())["model"],
        ".png": lambda path: Image.open(path).load(),
        ".safetensors": lambda path: dd.load(path),
    }
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        assert not path.name.startswith("."), path  # nothing temporary is left
        if path.suffix in readers:
            readers[path.suffix](path)
    return len(files)


def fill(path: Path, kib: int) -> None:
    """Leave so many KiB on the disk."""
    status = os.statvfs(path.parent)
    path.write_bytes(bytes(status.f_bavail * status.f_frsize - kib * 1024))


def main(root: Path) -> None:
    """Print what came of each size."""
    filler = root / "of_another_program"
    every = ("--product.every_n_steps", "1", "--gallery.every_n_steps", "1", "--evaluation.enabled", "true")
    every = (*every, "--evaluation.num_networks", "1", "--evaluation.epochs", "1")
    for kib in SIZES:
        runs = root / f"runs{kib}"
        found = outcome(fit(runs, *every, "--trainer.max_steps", "2"), SLOW)
        assert found == "ok", found
        last = next(runs.rglob("last.ckpt"))
        images = dd.load(last.parents[1]).images
        fill(filler, kib)
        resumed = outcome(fit(runs, *every, "--trainer.max_steps", "4", "--ckpt_path", "last"), SLOW)
        fresh = outcome(fit(root / "fresh", *every, "--trainer.max_steps", "2"), SLOW)
        filler.unlink()
        number = whole(root)
        for said in (resumed, fresh):
            assert said == "ok" or said.startswith("error: "), said
            assert "||" not in said, said
            assert "space" in said or said == "ok", said
        assert dd.load(last.parents[1]).images.shape == images.shape
        again = outcome(fit(runs, *every, "--trainer.max_steps", "4", "--ckpt_path", "last"), SLOW)
        assert again == "ok", again
        print(f"{kib} KiB: resumed {resumed[:90]} | fresh {fresh[:90]} | {number} files whole", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]).resolve())
