"""The last checkpoint: when it is saved, and that it is whole whatever happens while it is written."""

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Trainer

import lightning_dd as dd
from lightning_dd.app.running import prepare_trainer
from lightning_dd.callbacks import ArtifactWriter, AtomicCheckpointIO, Evaluation, LastCheckpoint
from lightning_dd.errors import OptionError, UserError

ROOT = Path(__file__).parents[2]
OLD, NEW = {"images": torch.zeros(1000)}, {"images": torch.ones(1000)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoints" / "last.ckpt"


@pytest.fixture
def saved(monkeypatch):
    """The steps that checkpoints are saved at, and how many evaluations each holds."""
    steps = []

    def save_checkpoint(self, checkpoint, path, **_):
        steps.append((checkpoint["global_step"], len(checkpoint["callbacks"]["Evaluation"]["records"])))

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", save_checkpoint)
    return steps


def _images(path):
    return torch.load(path, weights_only=True)["images"]


def test_a_write_that_fails_midway_leaves_the_old_checkpoint(path, monkeypatch):
    def half(self, content):
        written.append(self)
        self.open("wb").write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    written = []
    AtomicCheckpointIO().save_checkpoint(OLD, path)
    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(UserError, match=r"Cannot write .*last\.ckpt: No space left on device"):
        AtomicCheckpointIO().save_checkpoint(NEW, path)
    assert written[0].parent == path.parent  # the file system of the checkpoint: renaming copies nothing
    assert list(path.parent.iterdir()) == [path]
    assert torch.equal(_images(path), OLD["images"])


def test_an_error_of_torch_leaves_the_old_checkpoint(path):
    AtomicCheckpointIO().save_checkpoint(OLD, path)
    with pytest.raises(AttributeError):
        AtomicCheckpointIO().save_checkpoint({**NEW, "not to be pickled": lambda: None}, path)
    assert list(path.parent.iterdir()) == [path]
    assert torch.equal(_images(path), OLD["images"])


def test_the_next_write_removes_what_a_killed_process_left(path):
    path.parent.mkdir()
    (path.parent / ".last.ckpt.a1b2c3d4.ckpt").write_bytes(b"half")
    AtomicCheckpointIO().save_checkpoint(NEW, path)
    assert list(path.parent.iterdir()) == [path]


def test_a_run_that_goes_on_removes_what_a_killed_process_left(fit, tmp_path):
    assert fit("--trainer.max_steps", "1") == 0
    folder = tmp_path / "dm_digits_ipc1" / "version_0"
    (folder / ".distilled.safetensors.n49ffl5j.safetensors").write_bytes(b"half")
    (folder / "checkpoints" / ".best.ckpt.a1b2c3d4.ckpt").write_bytes(b"half")
    (folder / ".gitignore").write_text("mine")
    assert fit("--trainer.max_steps", "2", "--ckpt_path", "last") == 0
    assert [path.name for path in folder.rglob(".*")] == [".gitignore"]


def test_command_line_and_python_write_beside_the_checkpoint(fit, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))  # TMPDIR, where Lightning would write
    assert fit("--trainer.max_steps", "1") == 0
    data = torch.utils.data.TensorDataset(torch.rand(40, 1, 8, 8), torch.arange(40) % 2)
    settings = {"accelerator": "cpu", "enable_progress_bar": False}
    dd.distill(data, ipc=1, steps=1, evaluation=False, root=tmp_path / "b", trainer=settings, real_per_class=4)
    assert len(list(tmp_path.rglob("last.ckpt"))) == 2


def test_a_plugin_of_the_user_stays():
    class Own(TorchCheckpointIO):
        pass

    trainer = Trainer(plugins=[Own()], accelerator="cpu", logger=False, enable_checkpointing=False)
    prepare_trainer(trainer)
    assert type(trainer.strategy.checkpoint_io) is Own


def test_saved_every_n_steps_and_at_the_last_one_before_the_evaluation_and_after(fit, saved):
    evaluated = ("--evaluation.enabled", "true", "--evaluation.num_networks", "1")
    assert fit(*evaluated, "--checkpoint.every_n_steps", "4") == 0
    assert saved == [(4, 0), (6, 0), (6, 1)]


def test_a_last_step_that_is_an_n_th_one_is_not_saved_twice(fit, saved):
    assert fit("--checkpoint.every_n_steps", "3", "--trainer.max_steps", "3", "--evaluation.enabled", "true") == 0
    assert saved == [(3, 0), (3, 1)]


def test_a_run_that_ends_by_its_time_is_saved_before_its_evaluation(fit, tmp_path, monkeypatch):
    def killed(*_):
        raise SystemExit(9)

    monkeypatch.setattr(Evaluation, "_measure", killed)
    monkeypatch.setattr(ArtifactWriter, "on_exception", lambda *_: None)
    monkeypatch.setattr(LastCheckpoint, "on_exception", lambda *_: None)
    options = ["--checkpoint.every_n_steps", "100", "--trainer.max_steps", "-1", "--trainer.max_time", "00:00:00:01"]
    with pytest.raises(SystemExit):
        fit(*options, "--evaluation.enabled", "true")
    folder = tmp_path / "dm_digits_ipc1" / "version_0"
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["distiller"]["iteration"] > 0
    assert (folder / "distilled.safetensors").exists()


@pytest.mark.parametrize(
    ("world_size", "together", "step", "saves"),
    [(1, False, 0, 0), (1, False, 5, 1), (2, False, 5, 0), (2, True, 5, 1)],
)
def test_after_an_error_only_a_step_that_all_processes_can_save(world_size, together, step, saves, tmp_path):
    written = []
    trainer = SimpleNamespace(
        world_size=world_size,
        state=SimpleNamespace(fn="fit"),
        global_step=step,
        fast_dev_run=False,
        save_checkpoint=lambda path, _: written.append(Path(path)),
        is_global_zero=False,
    )
    callback = LastCheckpoint()
    callback.dirpath = str(tmp_path)
    error = UserError("something")
    error.together = together
    module = SimpleNamespace(iteration=step, ensure_valid=lambda: None)
    callback.on_exception(trainer, module, error)
    assert written == [tmp_path / "last.ckpt"] * saves


def test_a_fast_dev_run_writes_nothing(fit, tmp_path):
    assert fit("--trainer.fast_dev_run", "true") == 0
    assert not list(tmp_path.rglob("*.ckpt"))
    assert not list(tmp_path.rglob("*.safetensors"))


def test_going_on_elsewhere_with_another_interval_says_nothing_of_it(fit, tmp_path, recwarn):
    assert fit("--trainer.max_steps", "1") == 0
    path = tmp_path / "dm_digits_ipc1" / "version_0" / "checkpoints" / "last.ckpt"
    other = ("--checkpoint.every_n_steps", "2", "--trainer.max_steps", "2", "--ckpt_path", str(path))
    assert fit(*other, root=tmp_path / "b") == 0
    assert not [warning for warning in recwarn if "checkpoint" in str(warning.message).lower()]
    assert str(tmp_path) not in str(torch.load(path, weights_only=True)["callbacks"])


def test_every_n_steps_is_positive():
    with pytest.raises(OptionError, match=r"checkpoint\.every_n_steps must be at least 1, got 0\."):
        LastCheckpoint(0)


# The checkpoint lies on a small file system, TMPDIR on another; the arguments are their folders.
WHOLE = """
import os, signal, sys, time
from pathlib import Path
import torch
from lightning_dd.callbacks import AtomicCheckpointIO
from lightning_dd.errors import UserError

folder = Path(sys.argv[1])
last, write = folder / "last.ckpt", AtomicCheckpointIO().save_checkpoint

def sizes():
    found = {}
    for path in folder.iterdir():
        try:
            found[path.name] = path.stat().st_size
        except FileNotFoundError:
            pass
    return found

write({"number": torch.zeros(2**22)}, last)  # 16 MiB
whole = sizes()
for _ in range(5):
    child = os.fork()
    if not child:
        while True:
            write({"number": torch.zeros(2**22)}, last)
    while all(size in (0, whole["last.ckpt"]) for size in sizes().values()):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not torch.load(last, weights_only=True)["number"].any()
write({"number": torch.zeros(2**22)}, last)
assert sizes() == whole

(folder / "of_another_program").write_bytes(bytes(2**20 * 31))  # 1 MiB is left
try:
    write({"number": torch.ones(2**23)}, last)
except UserError as error:
    print(error)
assert not torch.load(last, weights_only=True)["number"].any()
"""
MOUNTED = "mount -t tmpfs -o size=48m tmpfs run && mount -t tmpfs -o size=256m tmpfs tmp"


@pytest.mark.slow
def test_a_kill_or_a_full_disk_in_the_middle_of_a_write_leaves_the_old_checkpoint(tmp_path):
    for folder in ("run", "tmp"):
        (tmp_path / folder).mkdir()
    apart = ["unshare", "-rm", "sh", "-c"]
    try:
        subprocess.run([*apart, MOUNTED], cwd=tmp_path, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine lets nobody mount a file system")
    script = [*apart, f'{MOUNTED} && exec "$@"', "sh", sys.executable, "-c", WHOLE, "run"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}
    done = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Cannot write run/last.ckpt: No space left on device")
