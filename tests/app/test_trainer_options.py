"""Options of Lightning's trainer: they do what they say, or are refused with the name of ours."""

import json
from datetime import timedelta

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy

import lightning_dd as dd
from lightning_dd.app.running import PROCESS_TIMEOUT, prepare_trainer
from lightning_dd.methods import DM


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--trainer.callbacks", "EarlyStopping", "--trainer.callbacks.monitor", "loss"], "--best.patience"),
        (["--trainer.callbacks", "ModelCheckpoint"], "--checkpoint.every_n_steps"),
        (["--trainer.callbacks", "ModelCheckpoint", "--trainer.callbacks.monitor", "loss"], "held_out"),
        (["--trainer.callbacks", "StochasticWeightAveraging", "--trainer.callbacks.swa_lrs", "0.1"], "end of an epoch"),
        (["--trainer.gradient_clip_val", "1"], "--model.clip"),
        (["--trainer.accumulate_grad_batches", "2"], "larger batch"),
        (["--lr_scheduler", "StepLR"], "--model.lr_decay"),
        (["--optimizer=Adam"], "--model.momentum"),
        (
            ["--trainer.max_steps", "-1", "--trainer.max_time", "00:00:00:05", "--model.lr_decay", "0.1"],
            "--trainer.max_steps",
        ),
    ],
)
def test_refused(options, words, fit, capsys):
    assert fit(*options) == 1
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert words in error


def test_max_time_ends_a_run_that_leaves_everything(fit, product, tmp_path, capsys):
    assert fit("--trainer.max_time", "00:00:00:01", "--trainer.max_steps", "1000000") == 0
    steps = product().info["steps"]
    assert 0 < steps < 1_000_000
    checkpoint = tmp_path / "dm_digits_ipc1" / "version_0" / "checkpoints" / "last.ckpt"
    assert torch.load(checkpoint, weights_only=True)["distiller"]["iteration"] == steps
    longer = ("--trainer.max_time", "00:01:00:00", "--trainer.max_steps", str(steps + 2))
    assert fit("--ckpt_path", "last", *longer) == 0  # it counts the whole run
    assert product().info["steps"] == steps + 2


def test_the_learning_rate_falls_along_a_cosine(fit, monkeypatch):
    rates = []
    monkeypatch.setattr(DM, "limit_gradients", lambda _, optimizer: rates.append(optimizer.param_groups[0]["lr"]))
    assert fit("--model.lr_decay", "0.5", "--trainer.max_steps", "4") == 0
    assert rates == pytest.approx([1, 0.5 + 0.25 * (1 + 0.5**0.5), 0.75, 0.5 + 0.25 * (1 - 0.5**0.5)])


def test_clipping_limits_the_update(fit, tmp_path):
    images = []
    for options in (["--model.lr", "1e-30"], ["--model.clip", "0.01"]):
        assert fit("--trainer.max_steps", "1", *options, root=tmp_path / str(len(images))) == 0
        (path,) = (tmp_path / str(len(images))).glob("*/version_0/checkpoints/last.ckpt")
        images.append(torch.load(path, weights_only=True)["state_dict"]["synthetic.codec.images"])
    assert (images[1] - images[0]).norm() == pytest.approx(0.01, rel=1e-3)


def test_lightnings_checkpoints_by_steps_work_from_python(tmp_path):
    data = torch.utils.data.TensorDataset(torch.rand(40, 1, 8, 8), torch.arange(40) % 2)
    keep = ModelCheckpoint(tmp_path / "kept", every_n_train_steps=2, save_top_k=-1)
    settings = {"callbacks": [keep], "accelerator": "cpu", "enable_progress_bar": False}
    dd.distill(data, ipc=1, steps=4, evaluation=False, root=tmp_path, trainer=settings, real_per_class=4)
    assert len(list((tmp_path / "kept").glob("*.ckpt"))) == 2


def test_bf16_that_is_slower_gives_way_to_float32(fit, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("lightning_dd.app.running.faster_in_bf16", lambda device: False)
    assert fit("--trainer.precision", "bf16-mixed", "--trainer.max_steps", "1") == 0
    assert "This processor is slower in bf16" in " ".join(capsys.readouterr().out.split())
    record = json.loads((tmp_path / "dm_digits_ipc1" / "version_0" / "results.json").read_text())
    assert record["environment"]["precision"] == "32-true"


def test_processes_wait_for_one_that_trains_a_network():
    own = timedelta(seconds=5)
    for strategy, wanted in (("ddp", PROCESS_TIMEOUT), (DDPStrategy(timeout=own), own)):
        options = {"devices": 2, "logger": False, "enable_checkpointing": False}
        trainer = Trainer(accelerator="cpu", strategy=strategy, **options)
        prepare_trainer(trainer)
        assert trainer.strategy._timeout == wanted


class Broken(DM):
    """A method whose objective has a bug."""

    def objective(self, network, synthetic, batch):
        raise RuntimeError("Input type (float) and bias type (double) should be the same")


def test_a_bug_of_a_method_is_no_option_of_the_trainer(fit):
    with pytest.raises(RuntimeError, match="bias type"):
        fit("--model", f"{__name__}.Broken")


class Unsummed(DM):
    """A method whose loss is not one number."""

    def objective(self, network, synthetic, batch):
        return super().objective(network, synthetic, batch).expand(2)


def test_a_loss_that_is_not_one_number_is_said_in_a_sentence(fit, capsys):
    assert fit("--model", f"{__name__}.Unsummed") == 1
    assert "Unsummed.objective returns a tensor (2,), and not one number" in capsys.readouterr().err
