"""Mistakes of a user end with one sentence, a non-zero exit code and no traceback."""

import errno
import gzip
import os
import struct
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import lightning_dd as dd
from lightning_dd.errors import UserError


def _truncated_idx(folder: Path) -> Path:
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 60), ("t10k", 10)):
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, count) + bytes(count))
        with gzip.open(raw / f"{part}-images-idx3-ubyte.gz", "wb") as file:
            file.write(struct.pack(">IIII", 2051, count, 28, 28) + bytes(100))
    return folder


def _parquet_without_images(folder: Path) -> Path:
    table = pa.table({"text": ["a", "b"], "label": [0, 1]})
    for split in ("train", "test"):
        pq.write_table(table, folder / f"{split}-00000-of-00001.parquet")
    return folder


def _small_class(folder: Path) -> Path:
    for name, count in (("cat", 3), ("dog", 12)):
        (folder / name).mkdir()
        for index in range(count):
            Image.new("L", (8, 8), 20 * index).save(folder / name / f"{index}.png")
    return folder


def _unreadable(folder: Path) -> Path:
    _small_class(folder)
    (folder / "dog" / "broken.png").write_bytes(b"not a picture")
    return folder


def _garbage_checkpoint(folder: Path) -> Path:
    path = folder / "garbage.ckpt"
    path.write_bytes(b"garbage")
    return path


def _distilled_file(folder: Path) -> Path:
    path = folder / "distilled.safetensors"
    path.write_bytes(b"whatever is in it")
    return path


def _file_in_the_way(folder: Path) -> Path:
    path = folder / "file"
    path.write_text("not a folder")
    return path / "runs"


def _broken_config(folder: Path) -> Path:
    path = folder / "broken.yaml"
    path.write_text("model: [DM\n")
    return path


def _config_with_typo(folder: Path) -> Path:
    path = folder / "typo.yaml"
    path.write_text("model:\n  class_path: DM\n  init_args:\n    ipcc: 1\ndata:\n  class_path: Digits\n")
    return path


FOLDER = ("--data", "ImageFolder", "--model.ipc", "5", "--data.root")

# name, options (PATH stands for what `make` returns), make, words that the sentence must have
CASES = [
    ("unknown method", ["--model", "DMM"], None, "did you mean DM"),
    ("unknown data", ["--data", "CIFAR11"], None, "did you mean CIFAR10"),
    ("unknown network", ["--model.network", "ConvNot"], None, "did you mean ConvNet"),
    ("unknown option", ["--model.real_per_clas", "3"], None, "did you mean --model.real_per_class"),
    ("unknown trainer option", ["--trainer.max_stepss", "3"], None, "did you mean --trainer.max_steps"),
    ("unknown option in a config", ["--config", "PATH"], _config_with_typo, "did you mean --model.ipc"),
    ("broken config", ["--config", "PATH"], _broken_config, "not valid YAML"),
    ("wrong type", ["--model.ipc", "many"], None, "a whole number"),
    ("negative IPC", ["--model.ipc", "-1"], None, "--model.ipc must be at least 1, got -1"),
    ("half precision", ["--trainer.precision", "16-mixed"], None, "bf16-mixed"),
    ("learning rate 0", ["--model.lr", "0"], None, "above 0"),
    ("unknown augmentation", ["--model.augmentation", "crop_flipp"], None, "flip"),
    ("depth that does not fit", ["--model.network.depth", "5"], None, "depth"),
    ("unknown protocol", ["--evaluation.protocol", "dcc"], None, "choose one of"),
    ("no networks", ["--evaluation.num_networks", "0"], None, "--evaluation.num_networks must be at least 1, got 0"),
    ("no held-out part", ["--evaluation.enabled", "true", "--evaluation.split", "held_out"], None, "held_out"),
    ("IPC above the class", ["--model.ipc", "500"], None, "--model.init noise"),
    ("class too small", [*FOLDER, "PATH"], _small_class, '"cat"'),
    ("missing root", ["--data", "MNIST", "--data.root", "PATH/nowhere"], lambda folder: folder, "download"),
    ("truncated idx", ["--data", "MNIST", "--data.root", "PATH"], _truncated_idx, "images-idx3-ubyte"),
    ("no image column", ["--data", "Parquet", "--data.root", "PATH"], _parquet_without_images, "text"),
    ("unreadable image", [*FOLDER, "PATH"], _unreadable, "broken.png"),
    ("missing checkpoint", ["--ckpt_path", "nowhere.ckpt"], None, "nowhere.ckpt"),
    ("folder without a checkpoint", ["--ckpt_path", "PATH"], lambda folder: folder, "give the folder of a run"),
    ("garbage checkpoint", ["--ckpt_path", "PATH"], _garbage_checkpoint, "garbage.ckpt"),
    ("unwritable output", ["--trainer.default_root_dir", "PATH"], _file_in_the_way, "Not a directory"),
    ("typo in a group", ["--modle.ipc", "2"], None, "did you mean --model.ipc"),
    ("distilled set as checkpoint", ["--ckpt_path", "PATH"], _distilled_file, "give the checkpoint of its run"),
    (
        "a group set to null",
        ["--evaluation", "null"],
        None,
        "--evaluation is a group of options, such as --evaluation.",
    ),
    ("no network at all", ["--model.network", "null"], None, "--model.network cannot be null"),
    ("no codec", ["--model.codec", "null"], None, "--model.codec cannot be null"),
    ("infinitely many", ["--model.ipc", "inf"], None, "--model.ipc must be a whole number, got"),
    ("patience without end", ["--best.patience=-inf"], None, "--best.patience must be a whole number, got"),
    ("a config without a name", ["--config="], None, "Give a config after --config"),
    (
        "nodes that do not know each other",
        ["--trainer.num_nodes", "2"],
        None,
        "--trainer.num_nodes needs the first node",
    ),
    ("no such config", ["--config", "nowhere.yaml"], None, "nowhere.yaml"),
]


@pytest.mark.parametrize(("options", "make", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_one_sentence(options, make, words, fit, tmp_path, capfd):
    made = str(make(tmp_path)) if make else ""
    code = fit(*[option.replace("PATH", made) for option in options])
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error:")]
    assert code not in (0, None)
    assert len(errors) == 1
    assert words in errors[0]
    assert errors[0].endswith(".")


EVALUATED = ("--evaluation.enabled", "true", "--evaluation.epochs", "null")
ELSEWHERE = Path(__file__).parents[1] / "conf"


@pytest.mark.parametrize(
    ("config", "options", "words"),
    [
        ("dm", ["--evaluation.protocol", "dd"], "The set brings no steps of its own"),
        ("dm", ["--evaluation.protocol", "krr"], "this one has none"),
        ("dm", ["--evaluation.network", "VGG11"], "VGG11 needs images of at least 17x17 pixels, not 8x8"),
        ("kip", ["--evaluation.protocol", "krr"], "krr trains no network: leave --evaluation.network out"),
        (
            "dd",
            ["--model.fixed_weights", "true", "--evaluation.protocol", "dd", "--evaluation.network", "MLP"],
            "this is another network",
        ),
    ],
)
def test_an_evaluation_that_cannot_be_is_refused_before_the_first_step(config, options, words, fit, tmp_path, capsys):
    assert fit(*EVALUATED, *options, config=ELSEWHERE / f"{config}_digits.yaml") == 1
    assert words in capsys.readouterr().err
    assert not list(tmp_path.rglob("last.ckpt"))  # one is kept at every step
    assert not list(tmp_path.iterdir())  # nor is an empty folder left behind


def test_an_option_that_would_do_nothing_is_refused(fit, capsys):
    options = ("--evaluation.protocol", "krr", "--evaluation.enabled", "true")
    assert fit(*options, config=ELSEWHERE / "kip_digits.yaml") == 1
    assert "leave --evaluation.epochs out" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_keeps_the_images(fit, product, capsys):
    # an absurd learning rate: the images overflow within a few steps
    assert fit("--model.lr", "1e38", "--trainer.max_steps", "50") == 1
    captured = capsys.readouterr()
    assert "--model.lr" in captured.err
    assert "Traceback" not in captured.err
    assert product().images.isfinite().all()


def test_a_gpu_looks_at_the_loss_every_few_steps_and_goes_back(fit, product, monkeypatch):
    interval = property(lambda self: 4, lambda self, _: None)
    monkeypatch.setattr("lightning_dd.methods.base.Distiller.finite_check_interval", interval)
    assert fit("--model.lr", "1e38", "--trainer.max_steps", "50") == 1
    assert product().images.isfinite().all()


def test_a_full_disk_stops_the_run_and_keeps_what_was_written(fit, product, monkeypatch, capsys):
    write, calls = Path.write_bytes, []

    def write_bytes(self, content):
        calls.append(1)  # a checkpoint a step
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    assert fit() == 1
    captured = capsys.readouterr().err
    assert "No space left on device; free some space" in captured
    assert "Traceback" not in captured
    assert product().info["steps"] == 4
    monkeypatch.undo()
    assert fit("--ckpt_path", "last") == 0  # from the third step on
    resumed = product().images
    assert fit() == 0
    assert torch.equal(resumed, product(1).images)


def test_images_that_are_not_numbers():
    images = torch.rand(8, 1, 8, 8)
    images[3, 0, 2, 2] = float("nan")
    data = torch.utils.data.TensorDataset(images, torch.arange(8) % 2)
    with pytest.raises(UserError, match="NaN"):
        dd.distill(data, ipc=1, steps=1)


def test_an_artifact_that_is_none(tmp_path):
    path = tmp_path / "distilled.safetensors"
    path.write_bytes(b"garbage")
    with pytest.raises(UserError, match="cannot be read"):
        dd.load(path)


@pytest.mark.parametrize(
    ("name", "words"),
    [("nowhere", "There is nothing at .*nowhere; give the folder of a run"), ("", "holds no distilled set; give")],
)
def test_an_artifact_that_is_not_there(name, words, tmp_path):
    with pytest.raises(UserError, match=words):
        dd.load(tmp_path / name)


def test_unknown_method_from_python():
    data = torch.utils.data.TensorDataset(torch.rand(8, 1, 8, 8), torch.arange(8) % 2)
    with pytest.raises(UserError, match="no method 'mtt2'; did you mean mtt"):
        dd.distill(data, method="mtt2", ipc=1, steps=1)


def test_an_option_before_the_method_that_it_belongs_to(capsys):
    from lightning_dd.app.cli import main

    assert main(["fit", "--data", "Digits", "--model.ipc", "1", "--model", "DC"]) != 0
    assert "give --model NAME before it" in capsys.readouterr().err
    assert main(["fit", "--model", "DM", "--data.image_size", "16", "--data", "ImageFolder"]) == 1
    assert "belongs to a data set: give --data NAME before it" in capsys.readouterr().err
