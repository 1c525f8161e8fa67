"""FRePo in several processes, which share the real batch, gives what it gives in one."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lightning_dd.app.cli import main

CONF = Path(__file__).parents[1] / "conf" / "frepo_digits.yaml"


def _fit(root, *options):
    precision = ["--trainer.precision", "64-true", "--trainer.max_steps", "5", "--model.lr_decay", "1"]
    arguments = ["fit", "--config", str(CONF), *precision, *options, "--trainer.default_root_dir", str(root)]
    if "--trainer.devices" in options:
        command = [sys.executable, "-m", "lightning_dd", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
    else:  # one process needs none of its own
        assert main(arguments) == 0
    (path,) = root.glob("*/version_0/checkpoints/last.ckpt")
    return torch.load(path, weights_only=True)["state_dict"]


@pytest.mark.ddp
@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    start = _fit(tmp_path / "start", "--trainer.max_steps", "1", "--model.lr", "1e-30")
    one = _fit(tmp_path / "one")
    two = _fit(tmp_path / "two", "--trainer.devices", "2", "--trainer.strategy", "ddp")
    for name in ("synthetic.codec.images", "synthetic.labels.values"):
        assert one[name].dtype == torch.float64
        largest_update = (one[name] - start[name]).abs().max()
        assert largest_update > 1e-5
        assert (two[name] - one[name]).abs().max() < 1e-6 * largest_update
