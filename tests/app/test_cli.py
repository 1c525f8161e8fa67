"""The command line from end to end, on the bundled digits."""

import json
import subprocess
import sys

import pytest
import torch
import yaml

from lightning_dd.app.cli import main
from lightning_dd.app.recorded import command_line
from lightning_dd.app.resuming import with_own_config
from lightning_dd.methods import DM

FILES = ("config.yaml", "distilled.safetensors", "distilled.png", "results.json", "checkpoints/last.ckpt")


def test_fit_leaves_everything(fit, product, tmp_path, capsys):
    assert fit("--evaluation.enabled", "true", "--evaluation.every_n_steps", "4") == 0
    folder = tmp_path / "dm_digits_ipc1" / "version_0"
    assert all((folder / name).is_file() for name in FILES)
    assert list(folder.glob("events.out.tfevents.*"))
    assert not (folder / "hparams.yaml").exists()
    record = json.loads((folder / "results.json").read_text())
    assert record["steps"] == 6
    assert record["method"] == "DM"
    assert record["dataset"] == "digits"
    assert [entry["step"] for entry in record["evaluations"]] == [4, 6]
    assert record["evaluations"][-1]["split"] == "test"
    assert record["config"]["data"]["init_args"]["root"] == "DATA"
    assert record["command"].startswith("python -m lightning_dd fit --config")
    assert record["cost"]["seconds_per_step"] > 0
    assert torch.__version__.startswith(record["environment"]["torch"])
    out = capsys.readouterr().out
    assert "random real" in out
    assert "distilled.safetensors" in out
    distilled = product()
    assert distilled[0][0].shape == (1, 8, 8)
    assert distilled.info["evaluations"] == record["evaluations"]
    assert "2110.04181" in distilled.info["paper"]


def test_images_move_and_start_from_real_ones(fit, product, tmp_path):
    assert fit() == 0
    assert fit("--trainer.max_steps", "1", "--model.lr", "1e-12") == 0
    moved, start = product(0), product(1)
    assert not torch.allclose(moved.images, start.images)
    # bundled digits have 17 gray levels: images that have hardly moved still lie on them
    levels = start.images * 16
    torch.testing.assert_close(levels, levels.round(), atol=0.04, rtol=0)  # they are kept as 8 bits


def test_the_same_seed_gives_the_same_images_and_another_gives_others(fit, product):
    for seed in ("0", "0", "1"):
        assert fit("--seed_everything", seed) == 0
    assert torch.equal(product(0).images, product(1).images)
    assert not torch.equal(product(0).images, product(2).images)


def test_evaluation_changes_nothing(fit, product):
    assert fit() == 0
    assert fit("--evaluation.enabled", "true", "--evaluation.every_n_steps", "2") == 0
    assert torch.equal(product(0).images, product(1).images)


def test_data_facts_flow_into_the_model(fit, product):
    assert fit("--data.held_out", "0.2", "--evaluation.enabled", "true", "--evaluation.split", "held_out") == 0
    distilled = product()
    assert distilled.images.shape == (10, 1, 8, 8)
    assert distilled.class_names == tuple("0123456789")
    assert distilled.info["evaluations"][0]["split"] == "held_out"


@pytest.mark.parametrize("zca", ["mtt", "frepo"])
def test_the_artifact_carries_the_whitening(zca, fit, product, tmp_path):
    assert fit("--data.zca", zca, "--trainer.max_steps", "2") == 0
    distilled = product()
    folder = tmp_path / "dm_digits_ipc1" / "version_0"
    assert len(list(folder.glob("whitening-*.safetensors"))) == 1
    learned = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"][
        "synthetic.codec.images"
    ]
    torch.testing.assert_close(distilled.prepared, learned, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(distilled.images, learned, atol=0.1)


def test_print_config_shows_overrides(fit, capsys):
    with pytest.raises(SystemExit) as stop:
        fit("--model.network.width", "12", "--print_config")
    assert stop.value.code == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["model"]["init_args"]["network"]["init_args"]["width"] == 12
    assert config["model"]["init_args"]["real_per_class"] == 8


def test_short_names_without_a_config(tmp_path, product):
    options = "--trainer.max_steps 1 --trainer.enable_progress_bar false --evaluation.enabled false --model.ipc 1"
    root = ["--trainer.default_root_dir", str(tmp_path), "--model.real_per_class", "2", "--model.network.width", "4"]
    assert main(["fit", "--model", "DM", "--data", "Digits", *options.split(), *root]) == 0
    assert len(product()) == 10


def test_without_a_number_of_steps_the_published_one_is_taken(fit, product, monkeypatch, capsys):
    monkeypatch.setattr(DM, "published_steps", 2)
    assert fit("--trainer.max_steps", "-1") == 0
    assert "DM: 2 steps (as published)" in capsys.readouterr().out
    assert product().info["steps"] == 2
    assert fit("--trainer.max_steps", "-1", "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2") == 0
    assert "DM: as long as the trainer says (published: 2)" in capsys.readouterr().out


def test_a_coreset_takes_its_one_step(fit, product):
    assert fit("--model", "Coreset", "--model.ipc", "1", "--trainer.max_steps", "-1") == 0
    assert product(name="coreset_digits_ipc1_random").info["steps"] == 1


def test_what_options_came_to_is_shown_and_recorded(fit, product, capsys):
    options = "--model DC --model.ipc 1 --model.network.width 4 --trainer.max_steps 1"
    assert fit(*options.split()) == 0
    assert "DC: 1 step (published: 1,000); outer_loops 1, inner_epochs 1" in capsys.readouterr().out
    info = product(name="dc_digits_ipc1").info
    assert info["resolved"] == {"outer_loops": 1, "inner_epochs": 1}
    assert info["config"]["model"]["init_args"]["outer_loops"] is None


def test_test_evaluates_a_checkpoint(fit, tiny_config, tmp_path, capsys):
    assert fit() == 0
    capsys.readouterr()
    checkpoint = tmp_path / "dm_digits_ipc1" / "version_0" / "checkpoints" / "last.ckpt"
    folder = str(checkpoint.parents[1])
    options = ["--ckpt_path", folder, "--evaluation.enabled", "true", "--evaluation.protocol", "dsa"]
    assert main(["test", "--config", str(tiny_config), *options, "--trainer.default_root_dir", str(tmp_path)]) == 0
    assert "step 6: 2 x ConvNet" in capsys.readouterr().out
    (record,) = json.loads((checkpoint.parents[1] / "test_results.json").read_text())
    assert record["evaluations"][-1]["protocol"] == "dsa"
    assert f"--ckpt_path {folder}" in record["command"]
    assert [command.split()[3] for command in record["commands"]] == ["fit", "test"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dm_digits_ipc1"]
    assert sorted(path.name for path in (tmp_path / "dm_digits_ipc1").iterdir()) == ["version_0"]


def test_a_run_can_be_tested_by_its_folder_alone(fit, tmp_path, capsys):
    assert fit("--trainer.max_steps", "1") == 0
    folder = tmp_path / "dm_digits_ipc1" / "version_0"
    for given in (folder, folder / "checkpoints" / "last.ckpt"):
        assert main(["test", "--evaluation.enabled", "true", f"--ckpt_path={given}"]) == 0
    for given, said in ((tmp_path, "is no run's: it holds no config.yaml"), (tmp_path / "a", "There is no checkpoint")):
        assert main(["test", "--ckpt_path", str(given), "--evaluation.enabled", "true"]) == 1
        assert said in capsys.readouterr().err
    records = json.loads((folder / "test_results.json").read_text())
    assert len(records) == 2
    assert "--config" not in records[0]["command"]  # as it was given
    (folder / "config.yaml").unlink()
    assert main(["test", "--ckpt_path", str(folder)]) == 1
    assert "was made from Python, without a config.yaml: give --model" in capsys.readouterr().err


def test_the_config_of_a_test_is_that_of_the_checkpoints_run(tmp_path):
    """A newer run has saved nothing yet."""
    for version, files in ((0, ("config.yaml", "checkpoints/last.ckpt")), (1, ("config.yaml",))):
        for file in files:
            path = tmp_path / f"version_{version}" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    words = with_own_config(["test", "--ckpt_path", str(tmp_path)])
    assert words[1:3] == ["--config", str(tmp_path / "version_0" / "config.yaml")]


def test_the_module_and_the_script_are_the_same_program():
    result = subprocess.run([sys.executable, "-m", "lightning_dd", "--help"], capture_output=True, text=True)
    assert result.returncode == 0
    assert result.stdout.startswith("usage: python -m lightning_dd")
    from importlib.metadata import entry_points

    (script,) = entry_points(group="console_scripts", name="lightning-dd")
    assert script.value == "lightning_dd.__main__:main"


def test_test_without_a_checkpoint_is_refused(tiny_config, capsys):
    assert main(["test", "--config", str(tiny_config)]) == 1
    assert "`test` needs --ckpt_path" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["fit", "--data.root", "/a b", "--model.ipc", "1"], "fit --data.root DATA --model.ipc 1"),
        (["fit", "--data.root=/a b"], "fit --data.root=DATA"),
        (["fit", "--ckpt_path", "last", "--model.ipc", "1"], "fit --ckpt_path last --model.ipc 1"),
        (["fit", "--data.init_args.root", "data", "--data", "MNIST"], "fit --data.init_args.root DATA --data MNIST"),
    ],
)
def test_commands_in_records_name_no_machine(words, shown):
    assert command_line(words) == f"python -m lightning_dd {shown}"
