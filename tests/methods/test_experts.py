"""Experts: their training against a plain one, their files, and runs that are interrupted."""

import copy
import functools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from lightning_dd.app.cli import main
from lightning_dd.artifact.preprocessing import Normalization
from lightning_dd.augmentation import DSA
from lightning_dd.data import Digits
from lightning_dd.errors import UserError
from lightning_dd.experts.gradient import gsam
from lightning_dd.experts.provenance import describe_preprocessing, same_preprocessing
from lightning_dd.experts.trajectories import Trajectories
from lightning_dd.methods import Experts
from lightning_dd.networks import ConvNet, build
from lightning_dd.rng import generator
from lightning_dd.unroll.chunks import gradient_of
from lightning_dd.unroll.functional import CrossEntropy, FlatNetwork
from tools.reference import training

CONF = Path(__file__).parents[1] / "conf" / "experts_digits.yaml"
STEPS = 5  # mini-batches in an epoch of the configuration
FACTORY = functools.partial(ConvNet, width=4, depth=2)


def _fit(root: Path, *options: str) -> int:
    folders = ["--trainer.default_root_dir", str(root / "runs"), "--model.folder", str(root / "experts")]
    return main(["fit", "--config", str(CONF), *folders, *options])


def _files(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / "experts").glob("*.safetensors"))}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """An uninterrupted run of two experts."""
    root = tmp_path_factory.mktemp("whole")
    assert _fit(root) == 0
    return root


def test_trajectory_is_that_of_a_plain_training(whole):
    data = Digits(held_out=0.8)
    data.setup()
    network = build(FACTORY, (1, 8, 8), 10, generator(0, "network", 1))

    def epochs() -> Iterator[list[tuple[torch.Tensor, torch.Tensor]]]:
        for epoch in range(3):
            order = torch.randperm(len(data.train_labels), generator=generator(0, "expert 1/order", epoch))
            batches = [(data.real_images(rows), data.train_labels[rows]) for rows in order.split(64)]
            assert len(batches) == STEPS
            draws = [generator(0, "expert 1/augmentation", epoch * STEPS + step) for step in range(STEPS)]
            augment = DSA("crop_scale_rotate")
            yield [(augment(images, draw), labels) for (images, labels), draw in zip(batches, draws, strict=True)]

    snapshots = training.trajectory(network, epochs(), 0.1)
    trajectories = Trajectories(whole / "experts")
    assert (len(trajectories), trajectories.epochs) == (2, 3)
    for epoch, expected in enumerate(snapshots):
        torch.testing.assert_close(trajectories.weights(1, epoch), expected, rtol=1e-4, atol=1e-6)
    assert torch.equal(trajectories.weights(1, 3), trajectories.final(1))
    assert not torch.equal(trajectories.weights(1, 0), trajectories.weights(1, 1))  # snapshots alias nothing


def test_the_description_says_what_the_experts_are(whole, capsys):
    description = json.loads((whole / "experts" / "experts.json").read_text())
    data = description["data"]
    assert (data["name"], data["num_classes"], data["num_images"]) == ("digits", 10, 287)
    assert data["class_names"] == list("0123456789")
    assert data["mean"] == [pytest.approx(0.306, abs=0.01)]
    assert description["network"]["name"] == "ConvNet (width 4, depth 2)"
    assert description["training"]["epochs"] == 3
    assert [expert["number"] for expert in description["experts"]] == [0, 1]
    assert all(10 < expert["test_accuracy"] <= 100 for expert in description["experts"])
    assert all(expert["seconds"] > 0 for expert in description["experts"])
    assert not list((whole / "experts").glob("*.parts"))


def test_a_part_of_gsam_alone_is_refused():
    with pytest.raises(UserError, match="gsam_alpha is a part of GSAM: give gsam_rho too"):
        Experts(folder="none", gsam_alpha=0.3)


def test_the_seconds_of_an_interrupted_expert_and_of_finished_ones_stay_known(tmp_path):
    assert _fit(tmp_path, "--trainer.max_steps", str(4 * STEPS)) == 0
    first = json.loads((tmp_path / "experts" / "experts.json").read_text())["experts"][0]
    part = tmp_path / "experts" / "expert_0001.parts" / "epoch_0001.safetensors"
    save_file(load_file(part) | {"seconds": torch.tensor(500.0)}, part)
    assert _fit(tmp_path) == 0
    finished, resumed = json.loads((tmp_path / "experts" / "experts.json").read_text())["experts"]
    assert finished == first
    assert 500 < resumed["seconds"] < 600
    assert Trajectories(tmp_path / "experts").seconds == finished["seconds"] + resumed["seconds"]


@pytest.mark.parametrize("steps", [3, STEPS + 2, 3 * STEPS, 4 * STEPS + 1])
def test_an_interrupted_run_gives_identical_files(steps, whole, tmp_path):
    assert _fit(tmp_path, "--trainer.max_steps", str(steps)) == 0
    finished = steps // (3 * STEPS)
    before = [path.stat().st_mtime_ns for path in sorted((tmp_path / "experts").glob("*.safetensors"))]
    assert len(before) == finished
    assert _fit(tmp_path) == 0
    assert _files(tmp_path) == _files(whole)
    after = [path.stat().st_mtime_ns for path in sorted((tmp_path / "experts").glob("*.safetensors"))]
    assert after[:finished] == before  # what was finished has not been made again


def test_a_finished_folder_is_left_alone(whole, capsys):
    before = _files(whole)
    assert _fit(whole) == 0
    assert "All 2 experts" in capsys.readouterr().out
    assert _files(whole) == before


def test_several_runs_share_the_work(whole, tmp_path):
    assert _fit(tmp_path, "--model.first", "1", "--model.number", "1") == 0
    assert _files(tmp_path) == {"expert_0001.safetensors": _files(whole)["expert_0001.safetensors"]}


def test_fewer_epochs_are_kept(whole, tmp_path):
    assert _fit(tmp_path, "--model.keep_epochs", "1", "--model.number", "1") == 0
    kept, full = (load_file(root / "experts" / "expert_0000.safetensors") for root in (tmp_path, whole))
    assert torch.equal(kept["trajectory"], full["trajectory"][:2])
    assert torch.equal(kept["final"], full["final"])


def test_files_in_bfloat16_of_older_versions_are_read(whole, tmp_path):
    shutil.copytree(whole / "experts", tmp_path / "experts")
    path = tmp_path / "experts" / "expert_0000.safetensors"
    tensors = load_file(path)
    save_file({**tensors, "trajectory": tensors["trajectory"].bfloat16()}, path)
    weights = Trajectories(tmp_path / "experts").weights(0, 2)
    assert torch.equal(weights, tensors["trajectory"][2].bfloat16().float())


def test_the_disk_size_is_announced_and_refused(tmp_path, capsys, monkeypatch):
    assert _fit(tmp_path, "--trainer.max_steps", "1", "--model.number", "1000") == 0
    assert "1000 experts" in (said := capsys.readouterr().out)
    assert "7.5 MB (4 times 374 weights each, float32)" in said
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    assert _fit(tmp_path) == 1
    assert "--model.keep_epochs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--model.lr 0.2", "training lr 0.1, not 0.2; give another --model.folder"),
        ("--model.network.width 8", "network name ConvNet (width 4, depth 2), not ConvNet (width 8, depth 2)"),
        ("--data.held_out 0.5", "another --model.folder"),
        ("--model.network.norm batch", "--model.network.norm instance"),
        ("--model.keep_epochs 0", "--model.keep_epochs must be at least 1, got 0"),
        ("--model.number 0", "must be at least 1"),
        ("--model.gsam_rho -1", "--model.gsam_rho must be at least 0"),
        ("--ckpt_path last", "start without --ckpt_path"),
    ],
)
def test_mistakes_are_one_sentence(options, words, whole, capsys):
    assert _fit(whole, *options.split()) == 1
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_experts_learn_without_dropout():
    """Its draws are not keyed, and the networks that follow an expert's way have none."""
    network = lambda shape, classes: nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, classes))  # noqa: E731
    experts = Experts(folder="none", network=network, image_shape=(1, 8, 8), num_classes=10)
    images = torch.ones(4, 1, 8, 8)
    flat = experts._flat
    assert flat.network.training
    assert torch.equal(flat(flat.weights(), images), flat(flat.weights(), images))


@pytest.mark.parametrize(("part", "place"), [("mean", 2), ("std", 1), ("probe", 0)])
def test_inputs_are_told_apart_by_every_channel(part, place):
    normalization = Normalization((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
    ours = describe_preprocessing(normalization, (3, 8, 8))
    theirs = copy.deepcopy(ours)
    theirs[part] = list(theirs[part])
    assert same_preprocessing(ours, theirs)
    theirs[part][place] += 0.1
    assert not same_preprocessing(ours, theirs)


def test_gsam_is_its_formula():
    flat = FlatNetwork(build(FACTORY, (1, 8, 8), 3, torch.Generator().manual_seed(0)).double())
    images = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    plain, w, batch = gradient_of(CrossEntropy(flat)), flat.weights(), (images, torch.arange(6) % 3)
    found, _ = gsam(plain, 0.5, 0.3)(w, *batch)
    g = plain(w, *batch)[0]
    perturbed = plain(w + 0.5 * w**2 * g / (w * g).norm(), *batch)[0]
    along = perturbed * (g @ perturbed) / (perturbed @ perturbed)
    torch.testing.assert_close(found, perturbed - 0.3 * (g - along))


def test_gsam_experts_run(tmp_path, whole):
    options = "--model.gsam_rho 0.01 --model.gsam_alpha 0.3 --model.number 1 --model.epochs 1"
    assert _fit(tmp_path, *options.split()) == 0
    ours, plain = (load_file(root / "experts" / "expert_0000.safetensors")["trajectory"] for root in (tmp_path, whole))
    assert torch.equal(ours[0], plain[0])
    assert 0 < (ours[1] - plain[1]).norm() < (plain[1] - plain[0]).norm()


def test_an_interrupted_run_says_how_to_go_on():
    assert Experts.resume_hint == "the same command resumes it"


def test_more_steps_than_there_are_end_with_the_last_expert(tmp_path):
    assert _fit(tmp_path, "--trainer.max_steps", "1000", "--model.number", "1", "--model.epochs", "1") == 0
    assert len(_files(tmp_path)) == 1


class Untested(Digits):
    """Digits without a test part."""

    def load(self, split):
        images, labels = super().load(split)
        return (images, labels) if split == "train" else (images[:0], labels[:0])


@pytest.mark.parametrize("options", [["--data", f"{__name__}.Untested"], ["--trainer.precision", "64-true"]])
def test_experts_without_test_images_or_in_double_precision(options, tmp_path):
    assert _fit(tmp_path, "--model.number", "1", "--model.epochs", "2", *options) == 0
    (expert,) = json.loads((tmp_path / "experts" / "experts.json").read_text())["experts"]
    assert ("test_accuracy" in expert) == ("--data" not in options)
