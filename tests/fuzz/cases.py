"""Bad inputs of every door: `python tests/fuzz/cases.py [DOOR...]` prints what each comes to."""

import os
import sys
import tempfile
from pathlib import Path

import torch
from damage import checkpoints
from fuzz_runs import no_launch
from harness import outcome
from lies import artifacts, foreign
from lines import configs, lines
from places import folders, results

DOORS = {
    "artifacts": artifacts,
    "foreign": foreign,
    "configs": configs,
    "folders": folders,
    "results": results,
    "checkpoints": checkpoints,
    "lines": lines,
}


def main(doors: list[str]) -> None:
    """Print all cases of some doors, or of all."""
    os.environ["LIGHTNING_DD_CACHE"] = tempfile.mkdtemp()
    no_launch()
    root = Path(tempfile.mkdtemp())
    os.chdir(root)
    for door in doors or DOORS:
        for name, action in DOORS[door](root):
            print(f"{name}\t{outcome(action)}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1:])
