"""A method and a codec of strangers, by class path from outside the package."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lightning_dd.artifact.dataset import load

METHOD = '''
from lightning_dd.losses import feature_mean_distance
from lightning_dd.methods import DM


class TwoDepths(DM):
    """DM plus the distance of the mean features of the first block."""

    def objective(self, network, synthetic, batch):
        """Add the second loss."""
        draw = self.draw_augmentation(batch.classes)
        real = self.augment(draw, batch.images)
        images = self.augment(draw, synthetic.of_classes(batch.classes))
        means = [self.first_block(network, part).mean(1) for part in (real, images)]
        return super().objective(network, synthetic, batch) + feature_mean_distance(means[0].detach(), means[1])

    def first_block(self, network, images):
        """Return the first block's outputs `(K, N, F)`."""
        (found,) = network.features(images.flatten(0, 1), layers=[0])
        return found.flatten(1).unflatten(0, images.shape[:2])
'''
CODEC = '''
import torch
from torch import nn
from torch.nn import functional as F

from lightning_dd.artifact.codecs import Codec


class Half(Codec):
    """Images of half the height and width, enlarged."""

    def __init__(self, num_classes, ipc, image_shape):
        super().__init__(num_classes, ipc, image_shape)
        channels, height, width = image_shape
        self.images_per_class = ipc
        self.images = nn.Parameter(torch.zeros(num_classes * ipc, channels, height // 2, width // 2))

    def encode(self, images):
        return F.avg_pool2d(images, 2)

    def decode(self, rows=None):
        images = self.images if rows is None else self.images[rows]
        return F.interpolate(images, self.image_shape[1:], mode="bilinear", align_corners=False)
'''


@pytest.fixture
def strangers(tmp_path, monkeypatch) -> Path:
    """A folder on the path with both modules."""
    (tmp_path / "two_depths.py").write_text(METHOD)
    (tmp_path / "half.py").write_text(CODEC)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_method_of_thirty_lines(strangers, fit, product):
    assert len(METHOD.strip().splitlines()) <= 30
    assert fit("--model", "two_depths.TwoDepths", "--trainer.max_steps", "3") == 0
    assert fit("--trainer.max_steps", "3") == 0
    ours, plain = product(name="twodepths_digits_ipc1"), product()
    assert not torch.allclose(ours.images, plain.images)
    assert ours.info["method"] == "TwoDepths"
    assert (ours.info["paper"], ours.info["published_steps"]) == ("", None)  # which are those of DM
    assert ours.info["derived_from"] == f"DM: {plain.info['paper']}"


def test_a_codec_of_twenty_five_lines(strangers, fit, product):
    assert len(CODEC.strip().splitlines()) <= 25
    assert fit("--model.codec", "half.Half", "--trainer.max_steps", "3") == 0
    stored = load_file(strangers / "dm_digits_ipc1" / "version_0" / "distilled.safetensors")
    assert stored["codec.images"].shape == (10, 1, 4, 4)
    assert load(strangers / "dm_digits_ipc1").images.shape == (10, 1, 8, 8)


CONTRIBUTING = Path(__file__).resolve().parents[2] / "CONTRIBUTING.md"
MEANS, UNROLLED = (part.split("```")[0] for part in CONTRIBUTING.read_text().split("```python\n")[1:3])
OF_MEANS = """


class Detached(Means):
    def objective(self, network, synthetic, batch):
        return super().objective(network, synthetic, batch).detach()


class OfTheNetwork(Means):
    def objective(self, network, synthetic, batch):
        return sum(weights.requires_grad_().sum() for weights in network.parameters())


class Root(Means):
    def objective(self, network, synthetic, batch):
        images = synthetic.images()
        return (images - images).square().sum().sqrt()


class Misspelt(Means):
    def __init__(self, ipc: int, power: int = 2, **options):
        super().__init__(ipc, **options)
        self.exponent = self.powr


class Narrow(Means):
    def __init__(self, ipc: int, power: int = 2):
        super().__init__(ipc)
"""


@pytest.fixture
def means(tmp_path, monkeypatch):
    (tmp_path / "means.py").write_text(MEANS + OF_MEANS)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("means")
def test_a_method_is_its_sampling_and_its_objective(fit, product, capsys):
    assert fit("--model", "means.Means", "--trainer.max_steps", "3") == 0
    made = product(name="means_digits_ipc1")
    assert (made.info["paper"], made.info["published_steps"], made.recipe["protocol"]) == ("", None, "common")
    assert fit("--model", "means.Means", "--trainer.max_steps", "-1") == 1
    assert "Means has no published number of steps: give --trainer.max_steps." in capsys.readouterr().err


def test_soft_labels_at_a_rate_of_their_own_and_an_unrolled_training(fit, product, tmp_path, monkeypatch, capsys):
    (tmp_path / "unrolled.py").write_text(UNROLLED)
    monkeypatch.syspath_prepend(tmp_path)
    options = ["--model", "unrolled.Unrolled", "--model.label_lr", "1", "--trainer.max_steps", "2"]
    assert fit(*options) == 0
    made = product(name="unrolled_digits_ipc1")
    assert made.recipe["protocol"] == "common_soft"
    assert not torch.equal(made.labels, made.labels.round())
    assert "advice" not in capsys.readouterr().out
    assert fit(*options, "--model.networks", "RandomNetworks") == 1
    assert "and Unrolled needs initial weights" in capsys.readouterr().err


@pytest.mark.usefixtures("means")
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Detached", "The loss of Detached.objective does not depend on the synthetic set: are its images detached?"),
        ("OfTheNetwork", "The loss of OfTheNetwork.objective does not depend on the synthetic set"),
        ("Root", "The gradient of the loss is not finite at step 0"),
    ],
)
def test_a_loss_that_cannot_teach_the_images(name, sentence, fit, capsys):
    assert fit("--model", f"means.{name}", "--trainer.max_steps", "3") == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.usefixtures("means")
def test_a_mistake_in_a_constructor_is_the_users_own_traceback(fit):
    with pytest.raises(Exception, match="powr"):
        fit("--model", "means.Misspelt", "--trainer.max_steps", "3")


@pytest.mark.usefixtures("means")
def test_options_that_do_not_come_through_are_not_suggested(fit, capsys):
    assert fit("--model", "means.Narrow", "--model.momentu", "3") != 0
    error = capsys.readouterr().err
    assert "power" in error
    assert "momentum" not in error
    assert "facts" not in error
