"""What a step costs."""

import json
import time
from types import SimpleNamespace

import pytest
import torch

from lightning_dd.app.cli import main
from lightning_dd.callbacks import StepTimer, evaluation, step_timer
from lightning_dd.callbacks.step_timer import _summed
from lightning_dd.data import Digits
from lightning_dd.evaluation import Accuracies
from lightning_dd.runtime.timing import Stopwatch


def test_operations_of_processes_are_summed_where_these_can_share_tensors():
    seen = []
    strategy = SimpleNamespace(reduce=lambda tensor, reduce_op: seen.append(tensor.device.type) or 7.0)
    assert _summed(SimpleNamespace(world_size=2, strategy=strategy), 5, torch.device("meta")) == 7
    assert seen == ["meta"]


@pytest.mark.parametrize(("iteration", "max_steps", "counts"), [(0, 2, False), (0, 1, True), (1, 2, True)])
def test_the_first_step_which_may_prepare_much_is_counted_only_where_it_is_the_only_one(iteration, max_steps, counts):
    module = SimpleNamespace(iteration=iteration, stopwatch=Stopwatch(), device=torch.device("cpu"))
    module.compile_objective, module.start_operations = False, 0
    trainer = SimpleNamespace(max_steps=max_steps, global_step=iteration + 1, log_every_n_steps=9, loggers=[])
    trainer.world_size = 1
    timer = StepTimer()
    timer.on_train_start(trainer, module)
    timer.on_train_batch_start(trainer, module)
    torch.ones(2, 3) @ torch.ones(3, 4)
    timer.on_train_batch_end(trainer, module)
    assert timer.spent(module)["operations"] == (2 * 2 * 3 * 4 * iteration if counts else None)


def test_reading_the_images_counts(fit, product, monkeypatch):
    preprocess = Digits.on_after_batch_transfer

    def slow(self, *given):
        time.sleep(0.2)
        return preprocess(self, *given)

    monkeypatch.setattr(Digits, "on_after_batch_transfer", slow)
    assert fit("--trainer.max_steps", "5") == 0
    cost = product().info["cost"]
    assert cost["seconds"] >= 1
    assert 0.2 < cost["seconds_per_step"] < 0.6


def test_what_evaluations_need_is_no_memory_of_steps(monkeypatch):
    reached = []
    monkeypatch.setattr(step_timer, "peak_memory", lambda device: reached[-1])
    module = SimpleNamespace(iteration=1, stopwatch=Stopwatch(), device=torch.device("cpu"), compile_objective=True)
    module.start_operations = 0
    trainer = SimpleNamespace(max_steps=9, global_step=1, log_every_n_steps=99, loggers=[], world_size=1)
    timer = StepTimer()
    timer.on_train_start(trainer, module)
    for before, during, after in ((100, 100, 900), (900, 900, 900), (900, 950, 950)):
        reached.append(before)
        timer.on_train_batch_start(trainer, module)
        reached.append(during)
        timer.on_train_batch_end(trainer, module)
        assert timer.record(module)["peak_memory_bytes"] == (950 if during == 950 else 100)
        reached.append(after)
        timer.leave_out_memory(module)


def test_networks_that_chose_the_first_images_cost_as_much_when_they_come_from_disk(
    fit, product, monkeypatch, tmp_path
):
    monkeypatch.setenv("LIGHTNING_DD_CACHE", str(tmp_path / "cache"))
    for _ in range(2):
        assert fit("--model.init", "herding", "--model.feature_epochs", "8", "--trainer.max_steps", "2") == 0
    first, again = (product(version=version).info["cost"] for version in range(2))
    assert again["seconds"] >= first["seconds"] - again["seconds_per_step"] * 4 - 0.2
    assert first["operations"] == again["operations"] > 8 * 1437


def test_the_best_checkpoint_has_its_own_cost_and_a_test_all_of_it(fit, monkeypatch, tmp_path):
    values = [50.0, 60.0, 40.0]
    found = lambda *_: Accuracies(distilled=[values.pop(0)], random_real=[], network="ConvNet", seconds=0.0)  # noqa: E731
    monkeypatch.setattr(evaluation, "evaluate", found)
    held_out = ["--evaluation.enabled", "true", "--evaluation.every_n_steps", "1", "--evaluation.num_networks", "1"]
    held_out += ["--data.held_out", "0.2", "--evaluation.split", "held_out", "--trainer.max_steps", "3"]
    assert fit(*held_out) == 0
    folder = tmp_path / "dm_digits_ipc1" / "version_0"
    (at_best,) = (e for e in json.loads((folder / "results.json").read_text())["evaluations"] if e["step"] == 2)
    values += [70.0]
    assert main(["test", "--ckpt_path", str(folder / "checkpoints" / "best.ckpt")]) == 0
    (tested,) = json.loads((folder / "test_results.json").read_text())
    assert tested["cost"]["operations"] == at_best["spent"]["operations"] > 0
    assert tested["evaluations"][-1]["spent"] == at_best["spent"]
