"""Fixtures of several tests: the tiny configuration, and a run of the command line in a folder of its own."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lightning_dd.artifact.dataset import DistilledDataset, load

CONF = Path(__file__).parent / "conf" / "dm_digits.yaml"


# Tests are small: more threads only wait for each other, and another number could change the last bits of a sum.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True)
def _same_each_time():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _bf16(monkeypatch):
    """Let every processor have bf16, if slowly: the tests are the same on all."""
    monkeypatch.setattr("lightning_dd.app.running.faster_in_bf16", lambda device: True)
    monkeypatch.setattr("lightning_dd.app.comparing.table.faster_in_bf16", lambda device: True)


@pytest.fixture
def tiny_config() -> Path:
    """A config that runs in seconds."""
    return CONF


@pytest.fixture
def real_data() -> Path:
    """The folder of real data, or the test is skipped."""
    folder = os.environ.get("LIGHTNING_DD_DATA")
    if not folder:
        pytest.skip("LIGHTNING_DD_DATA names no folder of real data")
    return Path(folder)


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., int]:
    """Run `fit` on the tiny configuration in process; returns the exit code."""
    from lightning_dd.app.cli import main

    def run(*options: str, config: Path = CONF, root: Path = tmp_path) -> int:
        return main(["fit", "--config", str(config), "--trainer.default_root_dir", str(root), *options])

    return run


@pytest.fixture
def product(tmp_path: Path) -> Callable[..., DistilledDataset]:
    """Load what a run left behind."""

    def find(version: int = 0, name: str = "dm_digits_ipc1", root: Path = tmp_path) -> DistilledDataset:
        return load(root / name / f"version_{version}")

    return find
