"""Several processes give what one gives."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lightning_dd.app.cli import main
from lightning_dd.artifact.dataset import load

CONF = Path(__file__).parents[1] / "conf"


def _fit(config, root, *options):
    precision = ["--trainer.precision", "64-true", "--trainer.max_steps", "5"]
    arguments = ["fit", "--config", str(config), *precision, *options]
    arguments += ["--trainer.default_root_dir", str(root), "--data.held_out", "0.5"]
    if "--trainer.devices" in options:
        command = [sys.executable, "-m", "lightning_dd", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
    else:  # one process needs none of its own
        result = None
        assert main(arguments) == 0
    (folder,) = root.glob("*/version_*")  # rank zero alone writes
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]["synthetic.codec.images"]
    return state, result, folder


@pytest.mark.ddp
@pytest.mark.slow
def test_three_processes_equal_one(tmp_path):
    config = CONF / "dm_digits.yaml"
    evaluation = ["--evaluation.enabled", "true", "--evaluation.num_networks", "2"]
    start, _, _ = _fit(config, tmp_path / "start", "--trainer.max_steps", "1", "--model.lr", "1e-30")
    one, _, folder_of_one = _fit(config, tmp_path / "one", *evaluation)
    several, result, folder = _fit(
        config, tmp_path / "several", *evaluation, "--trainer.devices", "3", "--trainer.strategy", "ddp"
    )
    assert one.dtype == torch.float64
    largest_update = (one - start).abs().max()
    assert largest_update > 0.01
    assert (several - one).abs().max() < 1e-6 * largest_update
    assert load(folder).images.shape[1:] == (1, 8, 8)
    for words in ("\n  difference", "The distilled data set is in"):
        assert result.stdout.count(words) == 1  # rank zero alone prints
    assert "rank: 1" not in result.stderr
    records = [json.loads((where / "results.json").read_text()) for where in (folder_of_one, folder)]
    accuracies = [record["evaluations"][-1]["accuracies"] for record in records]
    assert accuracies[0] == accuracies[1]  # networks are shared out, in the same order


@pytest.mark.ddp
@pytest.mark.slow
def test_dd_shares_the_networks(tmp_path):
    config = CONF / "dd_digits.yaml"
    options = ["--model.networks_per_step", "2"]
    start, _, _ = _fit(config, tmp_path / "start", *options, "--trainer.max_steps", "1", "--model.lr", "1e-30")
    one, _, _ = _fit(config, tmp_path / "one", *options)
    several, _, folder = _fit(
        config, tmp_path / "several", *options, "--trainer.devices", "3", "--trainer.strategy", "ddp"
    )
    largest_update = (one - start).abs().max()
    assert largest_update > 0.01
    assert (several - one).abs().max() < 1e-6 * largest_update
    assert load(folder).tensors["step_sizes"].shape == (4,)
