"""TensorBoard's events, read back; and progress in a log."""

import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_dd.callbacks import progress


@pytest.fixture(scope="module")
def events(tmp_path_factory, request):
    """The events of a run of four steps with two evaluations."""
    from lightning_dd.app.cli import main

    root = tmp_path_factory.mktemp("runs")
    config = request.config.rootpath / "tests" / "conf" / "dm_digits.yaml"
    options = "--trainer.max_steps 4 --trainer.log_every_n_steps 2 --evaluation.enabled true --evaluation.epochs 1 "
    options += "--evaluation.num_networks 2 --evaluation.every_n_steps 2"
    assert main(["fit", "--config", str(config), "--trainer.default_root_dir", str(root), *options.split()]) == 0
    found = EventAccumulator(str(root / "dm_digits_ipc1" / "version_0"), size_guidance={"tensors": 0})
    return found.Reload()


def test_charts(events):
    assert set(events.Tags()["scalars"]) == {
        "loss",
        "accuracy",
        "accuracy/random_real",
        "accuracy/difference",
        "accuracy/spread",
        "cost/minutes",
        "cost/peak_memory_gib",
        "cost/seconds_per_step",
    }
    distilled, real, difference = (
        [event.value for event in events.Scalars(name)]
        for name in ("accuracy", "accuracy/random_real", "accuracy/difference")
    )
    assert len(distilled) == 2
    assert difference == pytest.approx([a - b for a, b in zip(distilled, real, strict=True)], abs=1e-3)


def test_options_and_config(events):
    plugins = {tag: events.SummaryMetadata(tag).plugin_data.plugin_name for tag in events.summary_metadata}
    assert [tag for tag, plugin in plugins.items() if plugin == "hparams"] == [
        "_hparams_/experiment",
        "_hparams_/session_start_info",
        "_hparams_/session_end_info",
    ]
    start = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    for words in (b"real_per_class", b"network.width", b"DM", b"digits"):
        assert words in start
    (text,) = events.Tensors("config/text_summary")[0].tensor_proto.string_val
    assert b"real_per_class: 8" in text


def test_the_picture_has_room_for_names(events):
    first = events.Images("images")[0]
    assert first.width > 10 * 90


def test_a_log_gets_lines(fit, monkeypatch, capsys):
    """No bar where none can move: a line when one is due, and at the last step."""
    monkeypatch.setattr(progress, "EVERY", 0.0)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)  # of a test of notebooks
    assert fit("--trainer.max_steps", "2", "--trainer.enable_progress_bar", "true") == 0
    error = capsys.readouterr().err
    assert "\r" not in error
    lines = [line for line in error.splitlines() if line.startswith("step ")]
    assert [line.split(",")[0] for line in lines] == ["step 1 of 2", "step 2 of 2"]
    assert "left" in lines[0]
