"""Images that stay in their files: the same as in memory, and no more memory for more files."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

from lightning_dd.app.cli import main
from lightning_dd.artifact.dataset import load
from lightning_dd.data import ImageFolder
from lightning_dd.data.lazy import LazyImages, prepared, take
from lightning_dd.data.tensors import FromDataset
from lightning_dd.errors import UserError
from lightning_dd.networks import ConvNet, build
from lightning_dd.training.data import training_set
from lightning_dd.training.loop import accuracy

TINY = 1e-6  # GiB: nothing is kept in memory


def _write(root, picture, classes, per_class, shades=8):
    """Write a folder of tiny images whose brightness says the class; few files are drawn, the others are links."""
    for label in range(classes):
        folder = root / f"class {label}"
        folder.mkdir(parents=True)
        for shade in range(min(shades, per_class)):
            (folder / f"{shade}.png").write_bytes(picture(20 + 25 * label + shade, size=(8, 8), mode="L"))
        for index in range(shades, per_class):
            os.link(folder / f"{index % shades}.png", folder / f"{index}.png")
    return root


@pytest.fixture
def folder(tmp_path, picture):
    return _write(tmp_path / "photos", picture, 3, 10)


def _both(folder, **options):
    lazy, plain = (ImageFolder(str(folder), max_memory=limit, held_out=0.2, **options) for limit in (TINY, 1.0))
    for data in (lazy, plain):
        data.setup()
    return lazy, plain


def test_what_is_decoded_later_is_what_is_decoded_at_once(folder):
    lazy, plain = _both(folder)
    assert isinstance(lazy.train_images, LazyImages)
    assert isinstance(plain.train_images, torch.Tensor)
    for part in ("train", "test", "held_out"):
        (images, labels), (wanted, same) = lazy.split(part), plain.split(part)
        assert images.shape == wanted.shape
        assert torch.equal(labels, same)
        rows = torch.arange(len(wanted)).flip(0)[:3]
        assert torch.equal(images[rows], wanted[rows])
        assert torch.equal(images.index_select(0, rows), wanted[rows])
        assert torch.equal(torch.cat(list(images.split(2))), wanted)
        assert torch.equal(take(images, rows)[torch.arange(3)], take(wanted, rows))
        assert torch.equal(images[1:3][torch.arange(2)], wanted[1:3])
    assert lazy.preprocessing.describe() == plain.preprocessing.describe()
    assert torch.equal(lazy.real_images(torch.tensor([3, 1])), plain.real_images(torch.tensor([3, 1])))


def test_steps_come_after_decoding(folder):
    lazy, plain = _both(folder)
    images = prepared(lazy.test_images.to("cpu"), lazy.preprocessing).to(torch.float64)
    wanted = prepared(plain.test_images, plain.preprocessing).double()
    assert torch.equal(torch.cat(list(images.split(4))), wanted)
    right = accuracy(lambda part: part.flatten(1)[:, :3], images, lazy.test_labels)
    assert right == accuracy(lambda part: part.flatten(1)[:, :3], wanted, plain.test_labels)


def test_the_training_set_is_known_by_its_files(folder):
    lazy, plain = (training_set(data, torch.device("cpu")) for data in _both(folder))
    rows = torch.tensor([0, 5])
    assert torch.equal(lazy.batch(rows)[0], plain.batch(rows)[0])
    before = lazy.digest
    os.utime(folder / "class 0" / "0.png", (0, 0))
    assert training_set(_both(folder)[0], torch.device("cpu")).digest != before


def test_broken_files(folder):
    (folder / "class 1" / "0.png").unlink()  # a link
    (folder / "class 1" / "0.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match="1 of"):
        lazy, plain = _both(folder, on_unreadable="skip", channels=1, image_size=8)
    assert torch.equal(torch.cat(list(lazy.train_images.split(8))), plain.train_images)
    images, _ = ImageFolder(str(folder), max_memory=TINY, channels=1, test_fraction=0, image_size=8).load("train")
    with pytest.raises(UserError, match=r"class 1.0\.png cannot be read"):
        list(images.split(8))


def test_no_whitening(folder):
    with pytest.raises(UserError, match="too large to be whitened"):
        ImageFolder(str(folder), max_memory=TINY, zca="mtt").setup()


def test_from_python(folder, monkeypatch):
    plain = FromDataset(str(folder))
    monkeypatch.setattr("lightning_dd.data.sources.LIMIT", TINY)
    lazy = FromDataset(str(folder))
    for data in (lazy, plain):
        data.setup()
    assert isinstance(lazy.train_images, LazyImages)
    assert torch.equal(torch.cat(list(lazy.train_images.split(8))), plain.train_images)


def _fit(folder, root, limit, *options):
    network = ["--model.network", "ConvNet", "--model.network.width", "4", "--model.network.depth", "2"]
    trainer = ["--trainer.default_root_dir", str(root), "--trainer.accelerator", "cpu", "--trainer.max_steps", "1"]
    data = ["--data", "ImageFolder", "--data.root", str(folder), "--data.max_memory", str(limit)]
    quiet = ["--trainer.enable_progress_bar", "false", "--evaluation.num_networks", "1", "--evaluation.epochs", "2"]
    return [*data, "--model.ipc", "2", *network, *trainer, *quiet, *options]


def _images(root):
    (path,) = root.glob("*/version_0/distilled.safetensors")
    return load(path).images


@pytest.mark.parametrize("method", ["RDED", "DM"])
def test_methods_do_not_care_where_images_are(method, folder, tmp_path):
    more = {"RDED": ["--model.network_epochs", "1"], "DM": ["--model.real_per_class", "4"]}[method]
    for limit in (TINY, 1.0):
        root = tmp_path / str(limit)
        assert main(["fit", "--model", method, *_fit(folder, root, limit, *more)]) == 0
    records = [json.loads(next(tmp_path.glob(f"{limit}/*/*/results.json")).read_text()) for limit in (TINY, 1.0)]
    assert torch.equal(_images(tmp_path / str(TINY)), _images(tmp_path / "1.0"))
    accuracies = [record["evaluations"][0]["accuracies"] for record in records]
    assert accuracies[0] == accuracies[1]


def test_many_files(tmp_path, picture):
    folder = _write(tmp_path / "photos", picture, 10, 200)
    options = ["--model.network_epochs", "1", "--model.candidates", "20", "--evaluation.enabled", "false"]
    assert main(["fit", "--model", "RDED", *_fit(folder, tmp_path / "runs", TINY, *options)]) == 0
    assert len(_images(tmp_path / "runs")) == 20


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_files(tmp_path, picture):
    """100,000 files of 128x128 pixels, 4.9 GB when decoded, are scored and tested on in less than 3 GB."""
    folder = _write(tmp_path / "photos", picture, 10, 10_000)
    options = _fit(folder, tmp_path / "runs", 2.0, "--data.image_size", "128", "--data.channels", "3")
    teacher = build(lambda shape, count: ConvNet(shape, count, 4, 2), (3, 128, 128), 10, torch.Generator())
    torch.save(teacher.state_dict(), tmp_path / "teacher.pt")
    options += [
        "--model.weights",
        str(tmp_path / "teacher.pt"),
        "--evaluation.epochs",
        "1",
        "--evaluation.random_real",
        "false",
    ]
    peak = "import resource; print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
    run = f"import sys; from lightning_dd.app.cli import main; code = main(sys.argv[1:]); {peak}; sys.exit(code)"
    command = [sys.executable, "-c", run, "fit", "--model", "RDED", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    shutil.rmtree(folder)
    assert done.returncode == 0, done.stderr
    measured = int(done.stdout.split("peak ")[-1])
    print(f"peak memory {measured / 1e9:.2f} GB")
    assert measured < 3e9
