"""The record of a run's environment, and its table."""

import os
import platform
import subprocess

import kornia
import lightning
import pytest
import torch
import torchvision

from lightning_dd.runtime import environment as records
from lightning_dd.version import __version__

RECORD = {
    "step": 200,
    "num_networks": 5,
    "network": "ConvNet",
    "protocol": "dm",
    "epochs": 1000,
    "split": "test",
    "num_test_images": 10_000,
    "accuracy_mean": 61.149,
    "accuracy_std": 0.449,
    "random_real_mean": 64.25,
    "random_real_std": 12.0,
}


def test_table():
    assert records.table(RECORD).splitlines() == [
        "step 200: 5 x ConvNet, protocol dm (1000 epochs), test split of 10,000 images",
        "  trained on   accuracy (%)",
        "  distilled     61.1 ± 0.4",
        "  random real   64.2 ± 12.0",
        "  difference    -3.1",
    ]


def test_table_with_a_gain():
    assert records.table({**RECORD, "random_real_mean": 50.0}).splitlines()[-1] == "  difference   +11.1"


def test_table_without_random_real():
    lines = records.table({**RECORD, "random_real_mean": None, "random_real_std": None}).splitlines()
    assert lines[1:] == ["  trained on   accuracy (%)", "  distilled     61.1 ± 0.4"]


def test_environment():
    environment = records.environment(torch.device("cpu"))
    assert environment["lightning_dd"] == __version__
    assert environment["python"] == platform.python_version()
    assert environment["torch"].split("+")[0] == torch.__version__.split("+")[0]
    for package in (lightning, torchvision, kornia):
        assert environment[package.__name__].split("+")[0] == package.__version__.split("+")[0]
    assert set(environment) >= {"device", "commit"}


def test_a_processor_with_the_cores_in_use(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    for threads, named in ((1, ", 1 of 2 cores"), (2, ", 2 cores")):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert records.device_name(torch.device("cpu")).endswith(named)


@pytest.mark.parametrize("text", ["processor : 0\nmodel name\t: Fast CPU @ 3 GHz\nmodel name\t: Other\n", ""])
def test_processor(text, monkeypatch):
    monkeypatch.setattr(records.Path, "read_text", lambda self: text)
    assert records.processor() == ("Fast CPU @ 3 GHz" if text else platform.machine())


def test_commit(tmp_path, monkeypatch):
    package = tmp_path / "lightning_dd" / "evaluation"
    package.mkdir(parents=True)
    monkeypatch.setattr(records, "__file__", str(package / "records.py"))
    assert records._commit() is None  # installed, not a checkout
    who = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    for path in (tmp_path / "notes", package.parent / "file"):
        path.write_text("x")
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    subprocess.run(["git", *who, "commit", "-qm", "x"], cwd=tmp_path, check=True)
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True)
    commit = records._commit()
    assert len(commit) >= 7
    assert found.stdout.startswith(commit)
    (tmp_path / "notes").write_text("y")
    assert records._commit() == commit  # the package is as it was
    (package.parent / "file").write_text("y")
    assert records._commit() == f"{commit}-dirty"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert records._commit() is None  # no git on this machine
