"""The end of a run: out of memory names the method's option, and what was learned is kept."""

import os
import signal
from pathlib import Path

import pytest
import torch

from lightning_dd.callbacks import ArtifactWriter, Evaluation
from lightning_dd.callbacks.shutdown import remove_empty_run_dir
from lightning_dd.errors import UserError
from lightning_dd.methods import DC, DM
from lightning_dd.training.sources import TrainedNetworks

CONF = Path(__file__).parents[1] / "conf"


@pytest.mark.parametrize(
    ("method", "config", "option"),
    [(DM, "dm_digits.yaml", "--model.real_chunk"), (DC, "dc_digits.yaml", "--model.class_chunk")],
)
@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_out_of_memory_names_the_option(method, config, option, error, fit, tmp_path, monkeypatch, capsys):
    objective = method.objective

    def fails_at_the_third_step(self, *given):
        if self.iteration == 2:
            raise error
        return objective(self, *given)

    monkeypatch.setattr(method, "objective", fails_at_the_third_step)
    assert fit("--checkpoint.every_n_steps", "100", config=CONF / config) == 1
    printed = capsys.readouterr().err
    assert "error: Out of memory; make" in printed
    assert option in printed
    assert "Traceback" not in printed
    (checkpoint,) = tmp_path.glob("*/version_0/checkpoints/last.ckpt")
    assert torch.load(checkpoint, weights_only=True)["distiller"]["iteration"] == 2
    assert list(tmp_path.glob("*/version_0/distilled.safetensors"))


def test_only_what_is_written_before_the_first_step_is_removed(tmp_path):
    fresh, begun = tmp_path / "a" / "version_0", tmp_path / "b" / "version_0"
    for folder in (fresh, begun):
        folder.mkdir(parents=True)
        (folder / "config.yaml").touch()
        (folder / "events.out.tfevents.1").touch()
    (begun / "notes.txt").touch()
    for folder in (fresh, begun, tmp_path / "nowhere"):
        remove_empty_run_dir(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert len(list(begun.iterdir())) == 3


def test_a_second_ctrl_c_while_the_first_saves_leaves_a_run_that_can_go_on(fit, tmp_path, monkeypatch):
    def interrupted(*_):
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the run went on")

    monkeypatch.setattr(DM, "after_update", lambda self: self.iteration == 2 and os.kill(os.getpid(), signal.SIGINT))
    monkeypatch.setattr(ArtifactWriter, "_write_into", interrupted)
    assert fit("--checkpoint.every_n_steps", "100") == 128 + signal.SIGINT
    (run,) = tmp_path.glob("dm_*/version_0")
    assert (run / "config.yaml").exists()
    assert (run / "checkpoints" / "last.ckpt").exists()


def test_an_error_while_networks_learn_leaves_a_checkpoint_that_can_be_resumed(fit, product, tmp_path, monkeypatch):
    assert fit(config=CONF / "dc_digits.yaml", root=tmp_path / "whole") == 0
    update = TrainedNetworks.update

    def fails(self, iteration, *given):
        if iteration == 3:
            raise UserError("no more")
        update(self, iteration, *given)

    with monkeypatch.context() as patch:
        patch.setattr(TrainedNetworks, "update", fails)
        assert fit("--checkpoint.every_n_steps", "1", config=CONF / "dc_digits.yaml") == 1
    assert fit("--ckpt_path", "last", config=CONF / "dc_digits.yaml") == 0
    name = "dc_digits_ipc2"
    assert torch.equal(product(name=name).images, product(name=name, root=tmp_path / "whole").images)


def test_ctrl_c_before_the_first_step_is_said_in_a_sentence(fit, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(DM, "setup", lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background the signal may be ignored
    try:
        assert fit() == 128 + signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning ignores the signal from then on
    assert "Interrupted before the first step." in capsys.readouterr().err
    assert not list(tmp_path.glob("dm_*"))


def test_ctrl_c_stops_an_evaluation_on_the_way_at_once(fit, product, tmp_path, monkeypatch):
    options = ("--evaluation.enabled", "true", "--evaluation.every_n_steps", "3")
    assert fit("--evaluation.enabled", "false", root=tmp_path / "whole") == 0

    def interrupted(*_):
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the evaluation went on")

    with monkeypatch.context() as patch:
        patch.setattr(Evaluation, "_measure", interrupted)
        assert fit(*options) == 128 + signal.SIGINT
    (checkpoint,) = tmp_path.glob("dm_*/version_0/checkpoints/last.ckpt")
    assert torch.load(checkpoint, weights_only=True)["distiller"]["iteration"] == 3
    assert fit("--ckpt_path", "last", "--evaluation.enabled", "false") == 0
    assert torch.equal(product().images, product(root=tmp_path / "whole").images)
