"""A run that was interrupted and resumed equals the uninterrupted one, bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from lightning_dd.app.cli import main
from lightning_dd.artifact.dataset import load
from lightning_dd.errors import UserError
from lightning_dd.methods import DM

CONF = Path(__file__).parents[1] / "conf"


def test_resumed_equals_uninterrupted(fit, product, tmp_path):
    assert fit() == 0
    assert fit("--trainer.max_steps", "3", root=tmp_path / "b") == 0
    assert fit("--ckpt_path", "last", root=tmp_path / "b") == 0
    resumed = product(root=tmp_path / "b")
    assert torch.equal(product().images, resumed.images)
    assert resumed.info["steps"] == 6
    assert not (tmp_path / "b" / "dm_digits_ipc1" / "version_1").exists()  # goes on in its folder


def test_resumed_equals_uninterrupted_in_double_precision(fit, tmp_path):
    double = ("--trainer.precision", "64-true", "--model.ema", "0.75", "--trainer.max_steps")
    assert fit(*double, "6", root=tmp_path / "a") == 0
    assert fit(*double, "3", root=tmp_path / "b") == 0
    assert fit(*double, "6", "--ckpt_path", "last", root=tmp_path / "b") == 0
    paths = [next((tmp_path / folder).glob("*/version_0/checkpoints/last.ckpt")) for folder in "ab"]
    loaded = [torch.load(path, weights_only=True) for path in paths]
    images = [checkpoint["state_dict"]["synthetic.codec.images"] for checkpoint in loaded]
    averages = [checkpoint["distiller"]["average"] for checkpoint in loaded]
    assert images[0].dtype == averages[0].dtype == torch.float64
    assert torch.equal(*images)
    assert torch.equal(*averages)


def test_resumed_keeps_earlier_evaluations(fit, product):
    evaluation = ("--evaluation.enabled", "true", "--evaluation.every_n_steps", "2")
    assert fit("--trainer.max_steps", "3", *evaluation) == 0
    assert fit("--ckpt_path", "last", *evaluation) == 0
    assert [entry["step"] for entry in product().info["evaluations"]] == [2, 3, 4, 6]


def test_evaluations_at_chosen_steps(fit, product, capsys):
    chosen = ("--evaluation.enabled", "true", "--evaluation.num_networks", "1", "--trainer.max_steps", "4")
    assert fit(*chosen, "--evaluation.at", "[1, 3]") == 0
    assert [entry["step"] for entry in product().info["evaluations"]] == [1, 3, 4]
    assert fit(*chosen, "--evaluation.at", "[1, 5]") == 1
    assert "--evaluation.at names step 5, and the run ends at 4" in capsys.readouterr().err
    published = ("--model", "Coreset", "--model.ipc", "1", "--data", "Digits", "--trainer.accelerator", "cpu")
    assert main(["fit", *published, "--evaluation.at", "[5]"]) == 1  # of one step
    assert "names step 5, and the run ends at 1" in capsys.readouterr().err


def test_the_cost_counts_once_how_images_were_found_to_start_from(fit, product, monkeypatch):
    start, clock, later = DM.initialize, time.perf_counter, [0]

    def slow(*arguments):
        later[0] += 1000
        return start(*arguments)

    monkeypatch.setattr(DM, "initialize", slow)
    monkeypatch.setattr(time, "perf_counter", lambda: clock() + later[0])
    assert fit("--trainer.max_steps", "1") == 0
    assert 1000 <= product().info["cost"]["seconds"] < 1500
    assert fit("--ckpt_path", "last") == 0
    assert 1000 <= product().info["cost"]["seconds"] < 1500


def test_a_final_evaluation_that_was_interrupted_is_made_up_for(fit, product, monkeypatch, tmp_path, capsys):
    def interrupted(*_):
        raise UserError("interrupted")

    evaluated = ("--trainer.max_steps", "2", "--evaluation.enabled", "true", "--evaluation.num_networks", "1")
    folder = tmp_path / "dm_digits_ipc1" / "version_0"
    with monkeypatch.context() as patch:
        patch.setattr("lightning_dd.callbacks.evaluation.evaluate", interrupted)
        assert fit(*evaluated) == 1
    before = product().info
    assert before["evaluations"] == []
    assert fit(*evaluated, "--ckpt_path", str(folder)) == 0
    assert "its final evaluation is left to do" in capsys.readouterr().out
    info = product().info
    assert [entry["step"] for entry in info["evaluations"]] == [2]
    assert (info["steps"], info["cost"]) == (2, before["cost"])
    assert fit(*evaluated, "--ckpt_path", "last") == 0
    assert "Nothing is left to do: the run has its 2 steps and its evaluation; use `test`" in capsys.readouterr().out
    assert product().info == info
    assert [path.name for path in folder.parent.iterdir()] == ["version_0"]


def test_a_run_that_had_its_time_has_its_final_evaluation_made_up_for(fit, product, monkeypatch, capsys):
    def interrupted(*_):
        raise UserError("interrupted")

    evaluated = ("--trainer.max_steps", "100000", "--evaluation.enabled", "true", "--evaluation.num_networks", "1")
    evaluated += ("--trainer.max_time", "00:00:00:01")
    with monkeypatch.context() as patch:
        patch.setattr("lightning_dd.callbacks.evaluation.evaluate", interrupted)
        assert fit(*evaluated) == 1
    steps = product().info["steps"]
    capsys.readouterr()
    assert fit(*evaluated, "--ckpt_path", "last") == 0
    assert "The run has its time; its final evaluation is left to do" in capsys.readouterr().out
    info = product().info
    assert ([entry["step"] for entry in info["evaluations"]], info["steps"]) == ([steps], steps)
    assert fit(*evaluated, "--ckpt_path", "last") == 0
    assert "has its time and its evaluation; use `test` to evaluate it again, or set a larger trainer.max_time" in (
        capsys.readouterr().out
    )
    assert len(product().info["evaluations"]) == 1


def test_the_held_out_images_of_a_checkpoint_stay_unseen(fit, tmp_path, capsys):
    assert fit("--trainer.max_steps", "1") == 0
    said = "The checkpoint was made with --data.held_out 0.0, but this run has 0.3: keep it"
    assert fit("--ckpt_path", "last", "--data.held_out", "0.3") == 1
    assert said in capsys.readouterr().err
    held_out = ("--data.held_out", "0.3", "--evaluation.split", "held_out")
    assert main(["test", "--ckpt_path", str(tmp_path / "dm_digits_ipc1"), *held_out]) == 1
    assert said in capsys.readouterr().err


def test_a_run_without_evaluation_is_tested_all_the_same(fit, tmp_path, capsys):
    assert fit("--trainer.max_steps", "1", "--evaluation.num_networks", "1", "--evaluation.epochs", "1") == 0
    folder = tmp_path / "dm_digits_ipc1" / "version_0"
    assert main(["test", "--ckpt_path", str(folder)]) == 0
    (record,) = json.loads((folder / "test_results.json").read_text())
    assert len(record["evaluations"]) == 1
    assert main(["test", "--ckpt_path", str(folder), "--evaluation.enabled", "false"]) == 1
    assert "--evaluation.enabled cannot be false here" in capsys.readouterr().err
    assert main(["test", "--ckpt_path", "last"]) == 1
    assert "`last` is the newest run of a method on some data" in capsys.readouterr().err


def test_the_record_of_a_run_that_went_on_has_all_commands(fit, product):
    assert fit("--trainer.max_steps", "1", "--model.lr", "0.5") == 0
    assert "commands" not in product().info
    assert fit("--trainer.max_steps", "2", "--ckpt_path", "last") == 0
    info = product().info
    assert info["command"].endswith("--trainer.max_steps 2 --ckpt_path last")
    assert info["commands"][0].endswith("--trainer.max_steps 1 --model.lr 0.5")
    assert info["commands"][1:] == [info["command"]]


def _start(config: Path, root: Path, steps: int, *more: str) -> subprocess.Popen:
    options = ["--config", str(config), "--trainer.default_root_dir", str(root), "--trainer.max_steps", str(steps)]
    command = [sys.executable, "-m", "lightning_dd", "fit", *options, *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _wait_for(path: Path, process: subprocess.Popen) -> None:
    for _ in range(1200):
        if path.exists():
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    raise TimeoutError(path)


def _wait_for_folder(root: Path, process: subprocess.Popen) -> Path:
    """Return the folder of the only run, once it has a checkpoint."""
    for _ in range(1200):
        for folder in root.glob("*/version_0"):
            _wait_for(folder / "checkpoints" / "last.ckpt", process)
            return folder
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    raise TimeoutError(root)


@pytest.mark.slow
def test_a_signal_during_the_final_evaluation_stops_at_once(tiny_config, product, tmp_path):
    options = ["--evaluation.enabled", "true", "--evaluation.epochs", "1000000"]
    process = _start(tiny_config, tmp_path, 2, *options)
    _wait_for(tmp_path / "dm_digits_ipc1" / "version_0" / "distilled.png", process)  # written before it
    time.sleep(1)
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert product().info["steps"] == 2


@pytest.mark.parametrize(
    ("method", "signum", "code"),
    [
        ("dm", signal.SIGKILL, -9),
        pytest.param("dm", signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param("dm", signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param("dc", signal.SIGKILL, -9, marks=pytest.mark.slow),  # a network is in the middle of its life
        pytest.param("dd", signal.SIGKILL, -9, marks=pytest.mark.slow),
    ],
)
def test_killed_and_resumed_equals_uninterrupted(method, signum, code, fit, product, tmp_path):
    config = CONF / f"{method}_digits.yaml"
    process = _start(config, tmp_path, 100_000)
    folder = _wait_for_folder(tmp_path, process)
    _wait_for(folder / "checkpoints" / "last.ckpt", process)
    os.kill(process.pid, signum)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    if signum != signal.SIGKILL:
        assert "Traceback" not in errors
        assert "error:" not in errors  # somebody wanted it
        assert "--ckpt_path last" in errors
        assert (folder / "distilled.safetensors").is_file()
    done = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["distiller"]["iteration"]
    total = ("--trainer.max_steps", str(done + 3))
    assert fit("--ckpt_path", "last", *total, config=config) == 0
    assert fit(*total, config=config, root=tmp_path / "b") == 0
    resumed, whole = (product(name=folder.parent.name, root=root) for root in (tmp_path, tmp_path / "b"))
    assert torch.equal(resumed.images, whole.images)


def test_a_run_is_named_from_within_its_folder_or_from_home(fit, tiny_config, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fit("--trainer.max_steps", "1", root="~/runs") == 0
    run = tmp_path / "runs" / "dm_digits_ipc1" / "version_0"
    assert fit("--trainer.max_steps", "2", "--ckpt_path", "last", root="~/runs") == 0
    assert fit("--trainer.max_steps", "3", "--ckpt_path", "~/runs/dm_digits_ipc1", root="~/runs") == 0
    evaluation = ["--evaluation.num_networks", "1", "--evaluation.epochs", "1", "--evaluation.enabled", "true"]
    for folder, name in ((run, "."), (run / "checkpoints", "last.ckpt")):
        monkeypatch.chdir(folder)
        assert main(["test", "--ckpt_path", name, *evaluation]) == 0
    assert len(json.loads((run / "test_results.json").read_text())) == 2


def test_a_run_without_a_logger_writes_over_no_other_and_can_go_on(fit, tmp_path, capsys):
    plain = ("--trainer.logger", "false", "--trainer.max_steps")
    assert fit(*plain, "3") == 0
    learned = (tmp_path / "distilled.safetensors").read_bytes()
    assert fit(*plain, "3") == 1
    assert "this would write over" in capsys.readouterr().err
    assert (tmp_path / "distilled.safetensors").read_bytes() == learned
    assert fit(*plain, "6", "--ckpt_path", str(tmp_path / "checkpoints" / "last.ckpt")) == 0


def test_a_run_without_a_logger_is_found_by_last_and_a_killed_one_is_kept(fit, tmp_path, capsys):
    assert fit("--trainer.logger", "false", "--trainer.max_steps", "3") == 0
    (tmp_path / "distilled.safetensors").unlink()  # as after a kill
    assert fit("--trainer.logger", "false") == 1
    assert "would write over" in capsys.readouterr().err
    assert fit("--trainer.logger", "false", "--ckpt_path", "last") == 0
    assert load(tmp_path / "distilled.safetensors").info["steps"] == 6


def test_a_resumed_run_is_called_by_the_options_that_it_has(fit, tmp_path):
    assert fit("--trainer.max_steps", "3") == 0
    assert fit("--model.ipc", "3", "--ckpt_path", str(tmp_path / "dm_digits_ipc1" / "version_0")) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["dm_digits_ipc1"]
    assert [path.name for path in (tmp_path / "dm_digits_ipc1").iterdir()] == ["version_0"]


def test_last_without_a_run_fails_plainly(fit, capsys):
    assert fit("--ckpt_path", "last") == 1
    assert "start without --ckpt_path" in capsys.readouterr().err


def test_overridden_options_are_printed(fit, product, capsys):
    assert fit("--trainer.max_steps", "3") == 0
    capsys.readouterr()
    assert fit("--ckpt_path", "last", "--model.lr", "9") == 0
    assert "--model.lr 9.0 is overridden by the checkpoint's 1.0" in capsys.readouterr().out
    assert product().info["config"]["model"]["init_args"]["lr"] == 1.0


def test_a_checkpoint_of_another_data_set_is_refused(fit, tmp_path, capsys):
    assert fit("--trainer.max_steps", "1") == 0
    checkpoint = tmp_path / "dm_digits_ipc1" / "version_0" / "checkpoints" / "last.ckpt"
    folder = tmp_path / "own"
    for name in "ab":
        (folder / name).mkdir(parents=True)
        for index in range(3):
            Image.new("L", (8, 8), 40 * index).save(folder / name / f"{index}.png")
    assert fit("--data", "ImageFolder", "--data.root", str(folder), "--ckpt_path", str(checkpoint)) == 1
    assert "The checkpoint was made with data set digits, but this run has data set own." in capsys.readouterr().err


def test_the_network_of_the_checkpoint_is_taken(fit, product, capsys):
    """The command that goes on names another width, as a config does that was overridden at first."""
    assert fit("--trainer.max_steps", "2", "--model.network.width", "4") == 0
    assert fit("--trainer.max_steps", "3", "--ckpt_path", "last") == 0
    said = capsys.readouterr().out
    assert "--model.network.width 8 is overridden by the checkpoint's 4." in said
    network = product().info["config"]["model"]["init_args"]["network"]
    assert network["init_args"]["width"] == 4


def test_a_checkpoint_of_the_older_format_names_the_commit_that_reads_it(fit, tmp_path, capsys):
    assert fit("--trainer.max_steps", "1") == 0
    (path,) = tmp_path.glob("*/version_0/checkpoints/last.ckpt")
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint["distiller"]["format"]
    torch.save(checkpoint, path)
    assert fit("--ckpt_path", "last") == 1
    assert "commit 2f27814 is the last that reads it" in capsys.readouterr().err


def test_a_checkpoint_belongs_to_its_classes_and_to_their_preprocessing(fit, tmp_path, capsys):
    assert fit("--trainer.max_steps", "1", "--data.zca", "frepo") == 0
    assert fit("--ckpt_path", "last") == 1
    assert "made with whitening frepo, but this run has whitening None" in capsys.readouterr().err
    (path,) = tmp_path.glob("*/version_0/checkpoints/last.ckpt")
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["distiller"]["key"]["class names"] = "other, names"
    torch.save(checkpoint, path)
    assert fit("--ckpt_path", "last", "--data.zca", "frepo") == 1
    assert "made with class names other, names, but this run has class names" in capsys.readouterr().err
    del checkpoint["distiller"]["key"]["class names"]  # as earlier ones
    torch.save(checkpoint, path)
    assert fit("--ckpt_path", "last", "--data.zca", "frepo") == 0


def test_a_runs_config_leads_no_other_run_into_its_folder(fit, tmp_path):
    assert fit("--trainer.max_steps", "1") == 0
    assert fit("--trainer.max_steps", "2", "--ckpt_path", "last") == 0
    folder = tmp_path / "dm_digits_ipc1"
    before = (folder / "version_0" / "distilled.safetensors").read_bytes()
    assert main(["fit", "--config", str(folder / "version_0" / "config.yaml"), "--model.lr", "7"]) == 0
    assert (folder / "version_0" / "distilled.safetensors").read_bytes() == before
    assert (folder / "version_1" / "distilled.safetensors").is_file()
