"""A process that dies or meets an error ends all, with one message."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lightning_dd.runtime import processes
from lightning_dd.runtime.processes import LAUNCHER, lost_process

CONF = Path(__file__).parents[1] / "conf" / "dm_digits.yaml"
ROOT = Path(__file__).parents[2]
TWO = ("--trainer.devices", "2", "--trainer.strategy", "ddp")

# One process fails where the others do not: they wait for it in the backward pass.
FAILS_IN_PROCESS_1 = """
import os
from lightning_dd.__main__ import main
from lightning_dd.errors import UserError
from lightning_dd.methods import DM
objective = DM.objective
def fails(self, network, synthetic, batch):
    if self.iteration == 2 and os.environ.get("LOCAL_RANK") == "1":
        raise UserError("Only here.")
    return objective(self, network, synthetic, batch)
DM.objective = fails
main()
"""
WAITS = "import time; from lightning_dd.runtime.processes import exit_with_parent; exit_with_parent(); time.sleep(60)"
STARTS_ONE = f"""
import os, subprocess, sys
from lightning_dd.runtime.processes import exit_with_parent
exit_with_parent()
child = subprocess.Popen([sys.executable, "-c", {WAITS!r}], env={{**os.environ, "LOCAL_RANK": "1"}})
print(child.pid, flush=True)
child.wait()
"""


def _start(root, *options, program=("-m", "lightning_dd")):
    command = [
        sys.executable,
        *program,
        "fit",
        "--config",
        str(CONF),
        "--trainer.default_root_dir",
        str(root),
        *options,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # a script finds the package of these tests
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _others(process):
    return [int(number) for number in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def _alive(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _wait(condition, seconds):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def _errors(text):
    return [line for line in text.splitlines() if line.startswith("error:")]


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")


@linux
def test_a_process_ends_with_the_one_that_started_it():
    environment = {key: value for key, value in os.environ.items() if key not in (LAUNCHER, "LOCAL_RANK")}
    first = subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    other = int(first.stdout.readline())
    time.sleep(0.5)  # until it follows
    assert _alive(other)
    first.kill()
    _, errors = first.communicate(timeout=20)
    assert _wait(lambda: not _alive(other), 20)
    assert len(_errors(errors)) == 1
    assert "The first process was killed" in errors


def test_which_errors_say_that_a_process_is_gone():
    gone = RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]")
    assert lost_process(gone)
    assert lost_process(torch.distributed.DistNetworkError("the server has shut down"))
    assert not lost_process(RuntimeError("shapes do not agree"))
    assert not lost_process(ValueError("gloo"))


def test_a_killed_process_is_said_once_whichever_thread_finds_it_first(monkeypatch, capsys):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    monkeypatch.setattr(processes, "_launcher", SimpleNamespace(procs=[other]))
    monkeypatch.setattr(processes, "_said", threading.Lock())
    other.kill()
    assert _wait(lambda: other.poll() is not None, 20)
    assert processes.explain_lost() is None  # the thread that watches had no turn yet
    assert processes.explain_lost() is None
    (error,) = _errors(capsys.readouterr().err)
    assert "Process 1 was killed by SIGKILL" in error


@linux
@pytest.mark.ddp
@pytest.mark.slow
@pytest.mark.parametrize("killed", ["first", "other"])
def test_a_killed_process_ends_all_and_one_process_goes_on(killed, fit, product, tmp_path):
    process = _start(tmp_path, *TWO, "--trainer.max_steps", "100000")
    checkpoint = tmp_path / "dm_digits_ipc1" / "version_0" / "checkpoints" / "last.ckpt"
    assert _wait(checkpoint.exists, 240), process.stderr.read()
    (other,) = _others(process)
    os.kill(process.pid if killed == "first" else other, signal.SIGKILL)
    start = time.monotonic()
    _, errors = process.communicate(timeout=60)  # all have let go of the pipe
    assert _wait(lambda: not _alive(other), 60 - (time.monotonic() - start))
    assert process.returncode != 0
    (error,) = _errors(errors)
    assert "killed" in error
    assert "--ckpt_path last" in error
    assert "Traceback" not in errors
    done = torch.load(checkpoint, weights_only=True)["distiller"]["iteration"]
    total = ("--trainer.max_steps", str(done + 3))
    assert fit("--ckpt_path", "last", *total) == 0
    assert fit(*total, root=tmp_path / "b") == 0
    assert fit("--trainer.max_steps", "1", "--model.lr", "1e-30", root=tmp_path / "c") == 0
    resumed, whole, before = (product(root=root).images for root in (tmp_path, tmp_path / "b", tmp_path / "c"))
    assert (resumed - whole).abs().max() < 1e-4 * (whole - before).abs().max()  # float32, summed in another order


@pytest.mark.ddp
@pytest.mark.slow
@pytest.mark.parametrize("where", ["in one", "in all"])
def test_an_error_ends_all_and_is_said_once(where, tmp_path):
    script = tmp_path / "fails.py"
    script.write_text(FAILS_IN_PROCESS_1)
    if where == "in one":
        process = _start(tmp_path, *TWO, program=(str(script),))
    else:
        process = _start(tmp_path, *TWO, "--model.ipc", "500")
    _, errors = process.communicate(timeout=300)
    assert process.returncode != 0
    (error,) = _errors(errors)
    assert ("Only here" if where == "in one" else "--model.init noise") in error
    assert "Traceback" not in errors


@linux
@pytest.mark.ddp
@pytest.mark.slow
def test_a_signal_to_the_first_process_stops_all_after_the_same_step(tmp_path):
    process = _start(tmp_path, *TWO, "--trainer.max_steps", "100000", "--checkpoint.every_n_steps", "100000")
    folder = tmp_path / "dm_digits_ipc1" / "version_0"
    assert _wait(folder.exists, 240), process.stderr.read()
    _wait(lambda: any(folder.glob("events*")), 60)
    time.sleep(3)
    (other,) = _others(process)
    os.kill(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert _wait(lambda: not _alive(other), 30)
    assert process.returncode == 143
    assert "Stopped by SIGTERM after" in errors
    assert "Traceback" not in errors
    assert (folder / "checkpoints" / "last.ckpt").exists()
