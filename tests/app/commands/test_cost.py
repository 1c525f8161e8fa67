"""The cost sweep: estimates, cells that fail, the CSV and the plots."""

import csv
import json
import subprocess
from pathlib import Path

import pytest

from lightning_dd.app import commands
from lightning_dd.app.commands import cost
from lightning_dd.app.costs import estimate, sweep
from lightning_dd.app.costs.worker import known_methods
from lightning_dd.errors import UserError
from lightning_dd.methods import Distiller


def _main(tmp_path: Path, *arguments: object, data: str = "Digits") -> list[dict[str, str]]:
    assert commands.main(["cost", *map(str, arguments), "--data", data, "--out", str(tmp_path)]) == 0
    return list(csv.DictReader((tmp_path / "cost.csv").open()))


def _measured(seconds: float, gib: float) -> dict:
    memory = {"peak_memory_bytes": gib * 2**30, "memory_before_bytes": 2**30}
    return {"seconds_per_step": seconds, "seconds_loss": seconds / 2, **memory}


def test_a_cell_is_given_the_settings_of_its_own_method(tmp_path, monkeypatch):
    given = {}

    def ran(command, **_):
        given[command[command.index("--methods") + 1]] = command[command.index("--options") + 1 :]
        return subprocess.CompletedProcess(command, 0, json.dumps(_measured(1.0, 1.0)), "")

    monkeypatch.setattr(sweep.subprocess, "run", ran)
    _main(tmp_path, "--methods", "DM", "DC", "--ipc", 1, "--options", "DC.class_chunk=2", "DM.real_chunk=8")
    assert given == {"DM": ["DM.real_chunk=8"], "DC": ["DC.class_chunk=2"]}


@pytest.mark.slow
def test_one_cell_in_a_process_of_its_own(tmp_path):
    settings = ["--width", 4, "--steps", 1, "--options", "DC.real_per_class=4"]
    (row,) = _main(tmp_path, "--methods", "DC", "--ipc", 2, *settings)
    assert row["status"] == "measured"
    assert 0 < float(row["seconds_loss"]) <= float(row["seconds_per_step"])
    assert float(row["peak_memory_bytes"]) > 1e7
    assert (tmp_path / "cost_time.png").stat().st_size > 1000
    assert (tmp_path / "cost_memory.png").stat().st_size > 1000


def test_methods_are_those_that_learn_images():
    known = known_methods()
    assert {"DM", "DC", "DSA"} <= set(known)
    assert "Coreset" not in known
    assert all(issubclass(method, Distiller) for method in known.values())


@pytest.mark.parametrize("method", known_methods())
def test_every_method_can_be_made(method):
    from argparse import Namespace

    from lightning_dd.app.costs.worker import _arguments

    options, shape = Namespace(width=8, settings={}), Namespace(classes=10, shape=(1, 28, 28))
    kind = known_methods()[method]
    assert isinstance(kind(**_arguments(kind, 2, shape, options)), Distiller)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("MTT", {"synthetic_steps": 2}),
        ("DATM", {"synthetic_steps": 2}),
        ("AccDD", {"real_per_class": 8, "n_data": 64}),
        ("DREAM", {"real_per_class": 8, "n_data": 64}),
        ("NCFM", {"real_per_class": 8, "frequencies": 8}),
    ],
)
def test_what_comes_before_a_run_is_short(method, settings):
    from argparse import Namespace

    from lightning_dd.app.costs.worker import run

    options = {"data": "Digits", "width": 4, "steps": 1, "limit": None}
    result = run(method, 1, Namespace(**options, settings={method: settings}))
    assert result["seconds_loss"] > 0


def test_full_batches_in_the_inner_training():
    from argparse import Namespace

    from lightning_dd.app.costs.worker import _arguments

    options = Namespace(width=None, settings={"DC": {"class_chunk": 2}})
    shape = Namespace(classes=10, shape=(3, 32, 32))
    arguments = _arguments(known_methods()["DC"], 50, shape, options)
    assert (arguments["batch_size"], arguments["class_chunk"]) == (500, 2)
    for method in ("DM", "IDC"):  # the networks of IDC learn real images
        assert "batch_size" not in _arguments(known_methods()[method], 50, shape, options)


def test_estimates():
    assert estimate.expected({}, 10) is None
    assert estimate.expected({1: 5.0}, 10) is None
    assert estimate.expected({1: 1.0, 2: 2.0, 10: 18.0}, 20) == 38.0
    assert estimate.expected({1: 3.0, 10: 2.0}, 20) == 2.0  # never less
    assert estimate.free_memory() > 2**20


def test_what_will_not_fit_is_not_tried_and_what_fails_ends_alone(tmp_path, monkeypatch, capsys):
    tried = []

    def run(method, ipc, limit, options):
        tried.append((method, ipc))
        if method == "DC" and ipc > 1:
            return {"failed": "out of memory"}
        return _measured(ipc, ipc)

    monkeypatch.setattr(sweep, "_run", run)
    rows = _main(tmp_path, "--methods", "DC", "DM", "--ipc", 1, 2, 5, 10, "--memory", 6)
    assert tried == [("DC", 1), ("DC", 2), ("DM", 1), ("DM", 2), ("DM", 5)]
    assert [row["status"] for row in rows] == [
        "measured",
        "out of memory",
        "out of memory at fewer images",
        "out of memory at fewer images",
        "measured",
        "measured",
        "measured",
        "would need 10.0 GiB of memory, not tried",
    ]
    assert "would need 10.0 GiB" in capsys.readouterr().out
    tried.clear()
    _main(tmp_path, "--methods", "DM", "--ipc", 1, 2, 5, "--minutes", 0.1)
    assert tried == []  # finished before
    rows = _main(tmp_path, "--methods", "DM", "--ipc", 1, 2, 50, "--minutes", 0.1, "--memory", 100)
    assert rows[-1]["status"] == "would take 3 minutes, not tried"


@pytest.mark.slow
def test_a_cell_that_runs_out_of_memory_ends_alone(tmp_path):
    settings = ["--methods", "DM", "--steps", 1, "--memory", 1.25]  # a GiB is gone before the first step
    (row,) = _main(tmp_path, *settings, "--ipc", 1, data="CIFAR10")
    assert row["status"] == "out of memory"
    assert not (tmp_path / "cost_time.png").exists()
    assert not (tmp_path / "cells.json").exists()  # with more memory it is tried again


def test_settings():
    found = cost.settings_of(["DC.class_chunk=2", "DM.real_chunk=8", "DC.distance=mse"])
    assert found == {"DC": {"class_chunk": 2, "distance": "mse"}, "DM": {"real_chunk": 8}}
    with pytest.raises(UserError, match="--options takes METHOD"):
        cost.settings_of(["class_chunk=2"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--methods", "Coreset"], "There is no method 'Coreset'"),
        (["--data", "ImageFolder"], "--data is one of"),
        (["--ipc", "0"], "above 0"),
        (["--minutes", "nan"], "above 0"),
        (["--memory", "-1"], "above 0"),
        (["--memory", "0"], "above 0"),
        (["--width", "0"], "above 0"),
        (["--methods", "DM", "--options", "DC.class_chunk=2"], "--options says something of DC, which is not among"),
    ],
)
def test_mistakes_are_sentences(arguments, words, tmp_path, capsys):
    assert commands.main(["cost", *arguments, "--out", str(tmp_path)]) == 1
    assert words in capsys.readouterr().err


def test_nothing_is_written_where_nothing_was_measured(tmp_path, capsys):
    arguments = ["cost", "--methods", "DM", "--ipc", "1", "--data", "Digits", "--options", "DM.foo=3"]
    assert commands.main([*arguments, "--out", str(tmp_path)]) == 1
    assert "Nothing was measured" in (error := capsys.readouterr().err)
    assert "DM cannot be made from these options" in error
    assert list(tmp_path.iterdir()) == []


def test_a_cell_of_another_device_is_measured_again(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(sweep, "_run", lambda method, ipc, *_: ran.append(ipc) or _measured(1.0, 1.0))
    for device in ("one", "one", "another"):
        monkeypatch.setattr(sweep, "device_name", lambda device=device: device)
        _main(tmp_path, "--methods", "DM", "--ipc", 1)
    assert ran == [1, 1]
