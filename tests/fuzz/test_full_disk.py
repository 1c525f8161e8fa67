"""A disk that gets full in the middle of any file of a run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("full_disk.py")
MOUNTED = "mount -t tmpfs -o size=24m tmpfs run"


@pytest.mark.slow
def test_the_last_good_files_stay_whole_and_one_sentence_says_why(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "tmp").mkdir()
    apart = ["unshare", "-rm", "sh", "-c"]
    try:
        subprocess.run([*apart, MOUNTED], cwd=tmp_path, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine lets nobody mount a file system")
    places = {"TMPDIR": str(tmp_path / "tmp"), "LIGHTNING_DD_CACHE": str(tmp_path / "tmp")}
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2]), **places}
    script = [*apart, f'{MOUNTED} && exec "$@"', "sh", sys.executable, str(SCRIPT), "run"]
    done = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    print(done.stdout)
    assert done.returncode == 0, done.stderr[-3000:]
