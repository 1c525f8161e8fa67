"""The block at the start of a run, the line about its time, and what may be better."""

import random

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_dd.app.advice import advice
from lightning_dd.app.cli import main
from lightning_dd.artifact.labels import Labels
from lightning_dd.callbacks import Evaluation
from lightning_dd.data.decoding import MODES, Decoding, conversions
from lightning_dd.experts.segments import ExpertSegments
from lightning_dd.methods import DC, DM, MTT, Experts, FRePo
from lightning_dd.training.sources import RandomNetworks

OPTIONS = """--model.ipc 1 --model.network.width 4 --model.network.depth 1 --model.real_per_class 2
--trainer.max_steps 3 --evaluation.epochs 1 --evaluation.num_networks 1
--data ImageFolder --data.image_size [8,12] --data.cache false"""


@pytest.fixture
def photos(tmp_path):
    """Three classes of photos in several sizes and color modes."""
    draw = random.Random(0)
    for index in range(3):
        folder = tmp_path / "photos" / f"class{index}"
        folder.mkdir(parents=True)
        for number, mode in enumerate(("RGB", "L", "RGBA", "P", "CMYK", "RGB")[: 4 + index]):
            size = (24, 16) if number % 2 else (12, 8)
            pixels = np.full((size[1], size[0], 3), draw.randrange(256), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / f"{number}.{'tif' if mode == 'CMYK' else 'png'}")
    return tmp_path / "photos"


def _fit(photos, tmp_path, *options):
    root = ["--data.root", str(photos), "--trainer.default_root_dir", str(tmp_path / "runs")]
    return main(["fit", *options[:2], *OPTIONS.split(), *root, *options[2:]])


def _rows(printed):
    """Return the rows of the block by title, each in one line."""
    lines, rows, title = printed.split("Ahead:")[0].splitlines(), {}, ""
    for line in lines:
        if line.startswith(" "):
            rows[title] = f"{rows[title]} {line.strip()}"
        elif line:
            title, _, text = line.partition(" ")
            rows[title] = text.strip()
    return rows


def test_the_block_says_what_was_found(photos, tmp_path, capsys):
    assert _fit(photos, tmp_path, "--model", "DC") == 0
    printed = capsys.readouterr().out
    rows = _rows(printed)
    assert rows["data"] == (
        "photos: 3 classes of 8x12 pixels in color, 12 images to train on (3 of class0 to 5 of class2), 3 to test on"
    )
    assert rows["converted"] == "7 of 15 resized from 16x24; 3 L, 3 P, 3 RGBA, 2 CMYK converted to RGB"
    assert rows["network"].startswith("ConvNet (width 4, depth 1), ")
    assert rows["learned"] == "3 images, 1 per class, of 8x12 pixels in color"
    assert rows["method"] == "DC: 3 steps (published: 1,000); outer_loops 1, inner_epochs 1"
    assert rows["evaluation"].startswith(
        "protocol dc: 1 x ConvNet (width 4, depth 1), 1 epochs, on the distilled images"
    )
    assert rows["folder"].endswith("dc_photos_ipc1/version_0")
    assert "hardly leave: try --model.init real." in rows["advice"]
    ahead = next(line for line in printed.splitlines() if line.startswith("Ahead:"))
    assert "for the evaluation" in ahead
    assert "peak memory" in ahead


def test_it_can_be_left_out(photos, tmp_path, capsys):
    assert _fit(photos, tmp_path, "--model", "DM", "--summary.enabled", "false") == 0
    printed = capsys.readouterr().out
    assert "images to train on" not in printed
    assert "Ahead:" not in printed


def test_conversions_by_hand():
    """Two of three have another size, one another shape too; modes are counted."""
    originals = torch.tensor([[8, 8, MODES.index("RGB")], [16, 16, MODES.index("L")], [16, 32, MODES.index("RGB")]])
    assert conversions(originals, Decoding((8, 8), 3, True)) == [
        "2 of 3 resized from sizes between 16x16 and 16x32 (1 stretched, which the option crop avoids)",
        "1 L converted to RGB",
    ]
    assert conversions(originals[:1], Decoding((8, 8), 3)) == []


class _Run:
    """What advice looks at."""

    def __init__(self, steps, data):
        self.max_steps, self.precision_plugin, self.callbacks = steps, None, []
        self.datamodule = type("Data", (), {"name": data})


@pytest.mark.parametrize(
    ("data", "steps", "words"),
    [
        ("mnist", 20_000, "A recorded run reached 89.0 % in 300 steps: python -m lightning_dd fit --config "),
        ("mnist", 300, None),
        ("photos", 20_000, "A recorded run on "),
        ("cifar100", 20_000, None),  # a standard set without a record: what others reached says nothing of it
    ],
)
def test_a_shorter_run_is_told_where_a_record_knows_one(data, steps, words):
    said = advice(_Run(steps, data), DM(ipc=1, augmentation="crop", image_shape=(1, 28, 28)))
    assert said[0].startswith(words) if words else said == []


@pytest.mark.parametrize(
    ("data", "augmentation", "instead"),
    [
        ("svhn", "color_flip_rotate", "color_rotate"),
        ("svhn", "color+flip+crop_flip", "color+crop"),
        ("svhn", "flip", "null"),
        ("svhn", "color", None),
        ("cifar100", "color_flip", None),
    ],
)
def test_mirrored_digits_are_told(data, augmentation, instead):
    said = advice(_Run(300, data), DM(ipc=1, augmentation=augmentation, image_shape=(1, 28, 28)))
    assert said == ([f"The augmentation mirrors digits: augmentation {instead} does not."] if instead else [])


def test_mirrored_digits_are_told_of_other_modules_too():
    (said,) = advice(_Run(300, "mnist"), FRePo(ipc=1, init="real", image_shape=(1, 28, 28)))
    assert said == "Mirrored digits take part in the regression: flip false leaves them out, as published."
    assert advice(_Run(300, "mnist"), FRePo(ipc=1, init="real", flip=False, image_shape=(1, 28, 28))) == []
    (said,) = advice(_Run(300, "mnist"), Experts(folder="none", image_shape=(1, 28, 28)))
    assert said.startswith("The augmentation mirrors digits")


class _Learned(DM):
    """Labels and a scale are learned, as a new method may have them."""

    def __init__(self, **options):
        super().__init__(**options)
        self.synthetic.labels = Labels(torch.zeros(10, 10), "logits", learned=True)
        self.scale = torch.nn.Parameter(torch.ones(10))


class _Written(_Learned):
    def recipe_tensors(self):
        return {"scale": self.scale}


def test_what_is_learned_and_reaches_no_network_is_told():
    module, run = _Learned(ipc=1, image_shape=(1, 28, 28)), _Run(300, "photos")
    file, labels = advice(run, module)
    assert file.startswith("What is learned besides images and labels (scale) is in no file")
    assert labels.startswith(
        "Protocol dm takes class indices and not the learned labels: evaluation.protocol common_soft"
    )
    run.callbacks = [Evaluation(protocol="common_soft")]
    assert advice(run, module) == [file]
    assert advice(run, _Written(ipc=1, image_shape=(1, 28, 28))) == []


def test_options_without_effect_are_told():
    shape, run = {"image_shape": (1, 28, 28)}, _Run(300, "photos")
    (said,) = advice(run, DC(ipc=1, init="real", networks=RandomNetworks(), **shape))
    assert "inner_epochs, lr_network, batch_size" in said
    assert advice(run, DC(ipc=1, init="real", **shape)) == []
    (said,) = advice(run, MTT(ipc=1, experts="none", networks=ExpertSegments("others"), **shape))
    assert "experts, expert_epochs" in said
    (said,) = advice(run, MTT(ipc=1, experts="none", compile=True, recompute=False, **shape))
    assert said == "Unrolled steps are compiled only where recompute is true."
