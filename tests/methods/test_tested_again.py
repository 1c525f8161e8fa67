"""The command `test`, on the checkpoint of every kind of method: in the middle of a network's life too."""

import json
from pathlib import Path

import pytest

from lightning_dd.app.cli import main

CONF = Path(__file__).parents[1] / "conf"
SHORT = ["--evaluation.num_networks", "1", "--evaluation.random_real", "false"]


@pytest.mark.parametrize(
    ("config", "options"),
    [
        ("dm", "--model.ema 0.5 --trainer.precision 64-true"),
        ("dc", "--model.outer_loops 3"),
        ("dc", "--model IDC --model.n_data 48"),
        ("dd", "--model.fixed_weights true"),
        ("frepo", ""),
        ("idm", ""),
        ("dance", ""),
        ("dm", "--model Coreset"),
    ],
)
def test_every_method_is_tested_again(config, options, fit, tmp_path, capsys):
    start = ["--trainer.max_steps", "1", "--evaluation.enabled", "false"]
    assert fit(*start, *options.split(), config=CONF / f"{config}_digits.yaml") == 0
    (run,) = tmp_path.glob("*/version_0")
    assert main(["test", "--ckpt_path", str(run), "--evaluation.enabled", "true", *SHORT]) == 0
    assert "distilled" in capsys.readouterr().out
    (again,) = json.loads((run / "test_results.json").read_text())
    assert again["resolved"] == json.loads((run / "results.json").read_text())["resolved"]


def test_random_images_have_the_labels_of_the_checkpoints_teacher(fit, tmp_path):
    options = ["--model", "RDED", "--model.labels", "soft", "--model.network_epochs", "1", "--evaluation.epochs", "2"]
    assert fit(*options, "--evaluation.enabled", "true", "--evaluation.num_networks", "1") == 0
    (run,) = tmp_path.glob("*/version_0")
    assert main(["test", "--ckpt_path", str(run)]) == 0
    records = [json.loads((run / name).read_text()) for name in ("results.json", "test_results.json")]
    first, again = records[0]["evaluations"][-1], records[1][0]["evaluations"][-1]
    assert again["random_real_mean"] == first["random_real_mean"]
    assert again["accuracies"] == first["accuracies"]
