"""Kills at random moments change nothing but the time: final images are those of an uninterrupted run.

`LIGHTNING_DD_FUZZ=5` makes fifty kills of ten.
"""

import os
import random
import sys
import tempfile
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import kills

TIMES = int(os.environ.get("LIGHTNING_DD_FUZZ", "1"))
SEED = int(os.environ.get("LIGHTNING_DD_FUZZ_SEED", "0"))


@pytest.fixture
def elsewhere(tmp_path):
    """A folder, if possible on another file system than that of temporary files."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        yield Path(folder)


@pytest.mark.slow
@pytest.mark.parametrize("method", list(kills.METHODS))
def test_killed_runs_end_with_the_images_of_an_uninterrupted_one(method, elsewhere, tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("LIGHTNING_DD_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)  # where MTT finds its experts
    log, began = tmp_path / "log", time.perf_counter()
    if method == "mtt":
        assert kills.code_of(kills.start("experts", tmp_path / "experts_run", log)) == 0, log.read_text()[-3000:]
    number = 2 * TIMES
    runs = kills.killed(method, elsewhere, log, number, random.Random(f"{SEED}/{method}"))
    print(f"{method}: {number} kills of {runs} runs, {time.perf_counter() - began:.0f} s")
    assert not list((tmp_path / "tmp").iterdir())
    assert "Traceback" not in log.read_text()
