"""The best set on held-out images is kept, and a run stops when nothing better comes."""

import json
from types import SimpleNamespace

import pytest
import torch

from lightning_dd.app.cli import main
from lightning_dd.artifact.dataset import load
from lightning_dd.callbacks import BestCheckpoint, evaluation
from lightning_dd.errors import UserError
from lightning_dd.evaluation import Accuracies

EVALUATION = ["--evaluation.enabled", "true", "--evaluation.every_n_steps", "1", "--evaluation.num_networks", "1"]
HELD_OUT = [*EVALUATION, "--data.held_out", "0.2", "--evaluation.split", "held_out"]


@pytest.fixture
def accuracies(monkeypatch):
    """What the evaluations are to measure, in turn; nothing is trained."""
    values = []

    def evaluate(*_):
        if not values:
            raise UserError("interrupted")
        return Accuracies(distilled=[values.pop(0)], random_real=[], network="ConvNet", seconds=0.0)

    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    return values


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "dm_digits_ipc1" / "version_0"


def _steps(folder):
    return [entry["step"] for entry in json.loads((folder / "results.json").read_text())["evaluations"]]


def _iteration(path):
    return torch.load(path, weights_only=True)["distiller"]["iteration"]


def test_stops_after_as_many_evaluations_as_its_patience(fit, folder, accuracies, capsys):
    accuracies += [50.0, 60.0, 55.0, 60.0, 70.0, 80.0]
    assert fit(*HELD_OUT, "--best.patience", "2") == 0
    assert _steps(folder) == [1, 2, 3, 4]  # as good is not better, and the last one is not measured twice
    assert _iteration(folder / "checkpoints" / "last.ckpt") == 4
    assert _iteration(folder / "checkpoints" / "best.ckpt") == 2
    best, last = load(folder / "best.safetensors"), load(folder / "distilled.safetensors")
    assert best.info["steps"] == 2
    assert not torch.equal(best.images, last.images)
    assert "60.00 % at step 2" in capsys.readouterr().out


def test_counts_on_after_a_resume(fit, folder, accuracies):
    accuracies += [60.0, 50.0, 50.0, 50.0]
    assert fit(*HELD_OUT, "--best.patience", "3", "--trainer.max_steps", "2") == 0
    assert fit(*HELD_OUT, "--best.patience", "3", "--ckpt_path", "last") == 0
    assert _steps(folder) == [1, 2, 3, 4]


def test_a_run_that_went_on_elsewhere_says_that_the_best_set_is_in_the_earlier_one(fit, folder, accuracies, capsys):
    accuracies += [60.0, 50.0, 50.0]
    assert fit(*HELD_OUT, "--trainer.max_steps", "2") == 0
    last = str(folder / "checkpoints" / "last.ckpt")
    assert fit(*HELD_OUT, "--trainer.max_steps", "3", "--ckpt_path", last) == 0
    assert "at step 1: that set is in the folder of the run that this one went on from" in capsys.readouterr().out


def test_the_last_set_may_be_the_best_and_can_be_tested(fit, folder, accuracies, tiny_config, tmp_path):
    accuracies += [50.0, 60.0, 70.0, 70.0]
    assert fit(*HELD_OUT, "--trainer.max_steps", "2") == 0
    assert load(folder / "best.safetensors").info["steps"] == 2
    again = ["test", "--config", str(tiny_config), "--trainer.default_root_dir", str(tmp_path), *EVALUATION]
    assert main([*again, "--ckpt_path", str(folder / "checkpoints" / "best.ckpt")]) == 0
    assert main(["test", "--ckpt_path", str(folder / "checkpoints" / "best.ckpt")]) == 0  # by its own config
    records = json.loads((folder / "test_results.json").read_text())
    assert [record["evaluations"][-1]["split"] for record in records] == ["test", "test"]


def test_a_final_evaluation_that_was_made_up_for_may_be_the_best(fit, folder, accuracies, capsys):
    accuracies += [50.0]
    assert fit(*HELD_OUT, "--trainer.max_steps", "2") == 1  # stopped in the final evaluation
    assert load(folder / "best.safetensors").info["steps"] == 1
    accuracies += [60.0]
    assert fit(*HELD_OUT, "--trainer.max_steps", "2", "--ckpt_path", "last") == 0
    assert load(folder / "best.safetensors").info["steps"] == 2
    assert _iteration(folder / "checkpoints" / "best.ckpt") == 2
    assert "60.00 % at step 2" in capsys.readouterr().out


def test_an_evaluation_that_was_interrupted_is_made_up_for_before_the_next_step(fit, folder, accuracies):
    accuracies += [50.0]
    assert fit(*HELD_OUT, "--trainer.max_steps", "4") == 1  # stopped in the second one
    accuracies += [70.0, 60.0, 60.0]
    assert fit(*HELD_OUT, "--trainer.max_steps", "4", "--ckpt_path", "last") == 0
    assert _steps(folder) == [1, 2, 3, 4]
    assert load(folder / "best.safetensors").info["steps"] == 2


def test_accuracies_of_another_protocol_are_not_compared(fit, folder, accuracies):
    accuracies += [90.0, 50.0]
    assert fit(*HELD_OUT, "--trainer.max_steps", "1") == 0
    assert fit(*HELD_OUT, "--trainer.max_steps", "2", "--evaluation.epochs", "3", "--ckpt_path", "last") == 0
    assert load(folder / "best.safetensors").info["steps"] == 2


def test_the_best_set_of_evaluations_made_otherwise_is_kept(fit, folder, accuracies, capsys):
    accuracies += [90.0, 50.0]
    assert fit(*HELD_OUT, "--trainer.max_steps", "1") == 0
    assert fit(*HELD_OUT, "--trainer.max_steps", "2", "--evaluation.epochs", "3", "--ckpt_path", "last") == 0
    assert load(folder / "best_before_1.safetensors").info["steps"] == 1
    assert _iteration(folder / "checkpoints" / "best_before_1.ckpt") == 1
    assert "what was best before is kept in" in capsys.readouterr().out


def test_a_run_that_patience_ended_is_not_measured_again(fit, folder, accuracies):
    accuracies += [50.0, 40.0, 40.0]
    assert fit(*HELD_OUT, "--best.patience", "2") == 0
    assert fit(*HELD_OUT, "--best.patience", "2", "--ckpt_path", "last") == 0
    assert _steps(folder) == [1, 2, 3]


def test_the_test_set_chooses_nothing(fit, folder, accuracies, capsys):
    accuracies += [60.0, 50.0]
    assert fit(*EVALUATION, "--trainer.max_steps", "2") == 0
    assert not (folder / "best.safetensors").exists()
    assert fit(*EVALUATION, "--best.patience", "1") == 1
    assert "--evaluation.split held_out" in capsys.readouterr().err


def test_patience_needs_evaluations(fit, capsys):
    assert fit("--best.patience", "1") == 1
    assert "--evaluation.every_n_steps" in capsys.readouterr().err
    assert fit("--best.patience", "0") == 1
    assert "at least 1" in capsys.readouterr().err


def test_every_process_asks_for_the_folder_in_the_end():
    """It is broadcast: a process that asks alone waits for ever."""
    asked = []
    trainer = SimpleNamespace(is_global_zero=False, callbacks=[], fast_dev_run=False)
    trainer.log_dir = property(lambda self: asked.append(1) or "run")
    trainer = type("Trainer", (), vars(trainer))()
    BestCheckpoint().on_train_end(trainer, SimpleNamespace(iteration=1))
    assert asked
