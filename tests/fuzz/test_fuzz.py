"""Random damage at every door: a sentence, or a result that is right.

`LIGHTNING_DD_FUZZ=10` multiplies the numbers of cases of the slow tests, and `LIGHTNING_DD_FUZZ_SEED` moves them.
`LIGHTNING_DD_FUZZ_SECONDS` is the longest that a case may take, 20 by default: too few on a machine that is busy.
"""

import os
import random
import resource
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import cases
import doors
import fuzz_runs as runs
from harness import command, outcome, right

TIMES = int(os.environ.get("LIGHTNING_DD_FUZZ", "1"))
SEED = int(os.environ.get("LIGHTNING_DD_FUZZ_SEED", "0"))
LARGEST = 2**30  # bytes that a case may take over the process as it was


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with a finished run, in which no case starts a process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTNING_DD_CACHE", str(tmp_path_factory.mktemp("cache")))
        runs.no_launch(patch.setattr)
        folder = tmp_path_factory.mktemp("fuzz")
        patch.chdir(folder)
        runs.run_of(folder)
        yield folder


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _hold(door: doors.Door, number: int) -> None:
    """Hold the property for so many cases."""
    before, start, wrong, fine = _peak(), time.perf_counter(), {}, 0
    for index in range(number):
        found = door(random.Random(f"{SEED}/{index}"))
        good = found == "ok" or found.startswith("LAUNCH")  # a line may ask for two processes
        fine += good
        if not good and not right(found):
            wrong[index] = found
            print(f"wrong at {index}: {found}", flush=True)
    took, grown = time.perf_counter() - start, _peak() - before
    print(f"{number} cases, {fine} right, {len(wrong)} wrong, {took:.0f} s, {grown / 2**20:.0f} MiB over the base")
    assert not wrong, "\n".join(f"{index}: {found}" for index, found in list(wrong.items())[:40])
    assert grown < LARGEST


def _options() -> list[str]:
    """Return the options of `fit`, from the parser itself."""
    from lightning_dd.app import cli, cli_errors

    class Found(BaseException):
        pass

    def stop(self, parser, args):
        raise Found(parser)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli.DistillationCLI, "parse_arguments", stop)
        try:
            cli._run(["fit"])
        except Found as found:
            parser = found.args[0]
    model = (
        "ipc",
        "lr",
        "momentum",
        "clip",
        "init",
        "augmentation",
        "real_per_class",
        "codec",
        "network.depth",
        "compile",
    )
    data = ("root", "normalization", "zca", "held_out", "cache")
    own = [f"--model.{name}" for name in model] + [f"--data.{name}" for name in data]
    return sorted(set(cli_errors._options(parser))) + own * 3


def test_some_artifacts_and_folders(root):
    _hold(doors.artifacts(root, runs.artifact(root)), 300)
    _hold(doors.folders(root), 30)


@pytest.mark.slow
def test_artifacts(root):
    _hold(doors.artifacts(root, runs.artifact(root)), 1000 * TIMES)


@pytest.mark.slow
def test_folders(root):
    _hold(doors.folders(root), 100 * TIMES)


@pytest.mark.slow
def test_checkpoints(root):
    _hold(doors.checkpoints(root, runs.checkpoints_of(root)), 50 * TIMES)


@pytest.mark.slow
def test_command_lines(root):
    _hold(doors.lines(root, _options()), 50 * TIMES)


@pytest.mark.slow
def test_configs(root):
    _hold(doors.configs(root), 30 * TIMES)


QUICK = ("results",)
"""Doors whose cases take seconds."""
RIGHT = (
    *("artifact: images half", "artifact: foreign network", ".pt: labels float whole", "folder: a folder called a.png"),
    *("Parquet: labels huge", "--model.lr_decay 0", "--trainer.log_every_n_steps -1", "--model.real_per_class"),
    *("--trainer.model_registry x", "--trainer.check_val_every_n_epoch 0", "--trainer.min_steps 5"),
    *("checkpoint: distiller.commands is", "checkpoint: distiller.options is {}"),
    *("checkpoint: distiller.networks is {}"),
)
"""Cases that are right as they are: nothing in what they say is wrong, or nothing uses it."""


@pytest.mark.parametrize(
    "door",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in cases.DOORS],
)
def test_every_known_case_is_refused_in_one_sentence(door, root):
    found = {name: outcome(action) for name, action in cases.DOORS[door](root)}
    wrong = {name: said for name, said in found.items() if not right(said)}
    assert not {name: said for name, said in wrong.items() if said != "ok" or not name.startswith(RIGHT)}


def test_no_pickle_is_executed(root, tmp_path):
    import pickle
    import zipfile

    import torch

    touched = tmp_path / "touched"

    class Canary:
        def __reduce__(self):
            return os.system, (f"touch {touched}",)

    good = runs.run_of(root) / "checkpoints" / "last.ckpt"
    files = {name: tmp_path / name for name in ("raw.ckpt", "raw.pt", "zip.ckpt", "zip.pt", "old.pt", "in.ckpt")}
    for name in ("raw.ckpt", "raw.pt"):
        files[name].write_bytes(pickle.dumps(Canary()))
    for name in ("zip.ckpt", "zip.pt"):
        torch.save([Canary(), torch.zeros(1)], files[name])
    torch.save([Canary()], files["old.pt"], _use_new_zipfile_serialization=False)
    torch.save({**torch.load(good, weights_only=True), "callbacks": {"x": Canary()}}, files["in.ckpt"])
    with zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Canary()))
    artifact = tmp_path / "distilled.safetensors"
    artifact.write_bytes(pickle.dumps(Canary()))
    for name in ("images_best.pt", "labels_best.pt", "lr_best.pt"):
        files[name] = tmp_path / name
        torch.save(Canary(), files[name])
    for path in [*files.values(), tmp_path / "packed.pt", artifact, tmp_path]:
        for words in (("evaluate", path, "--data", "Digits"), ("show", path), ("report", path)):
            assert right(outcome(command(*words))), (words, path)
        for resume in ("fit", "test"):
            words = (resume, "--config", runs.CONF, "--ckpt_path", path)
            assert right(outcome(command(*words))), (words, path)
    assert not touched.exists()
