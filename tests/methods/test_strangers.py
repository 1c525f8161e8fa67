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
