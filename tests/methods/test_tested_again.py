"""The command `test`, on the checkpoint of every kind of method: in the middle of a network's life too."""

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
    assert (run / "test_results.json").is_file()
