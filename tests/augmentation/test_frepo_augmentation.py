"""The augmentation of FRePo's evaluation, operation by operation."""

import math

import pytest
import torch

from lightning_dd.augmentation import frepo
from lightning_dd.augmentation.frepo import OPERATIONS, FRePoAugmentation
from lightning_dd.errors import UserError


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _images(number=3, size=(8, 12), channels=2):
    return torch.randn(number, channels, *size, generator=_generator(1), dtype=torch.float64)


def _uniforms(*values, number=3):
    return torch.tensor([*values, *[0.5] * (3 - len(values))], dtype=torch.float64)[:, None].expand(3, number)


def _sampled(image, y, x):
    """Bilinear at fractional pixels, the border repeated, one pixel at a time."""
    height, width = image.shape[-2:]
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = min(int(y), height - 2), min(int(x), width - 2)
    dy, dx = y - top, x - left
    upper = image[:, top, left] * (1 - dx) + image[:, top, left + 1] * dx
    return upper * (1 - dy) + (image[:, top + 1, left] * (1 - dx) + image[:, top + 1, left + 1] * dx) * dy


def _warped(images, source):
    """Sample each image where `source(y, x)` says, about the center."""
    height, width = images.shape[-2:]
    cy, cx = (height - 1) / 2, (width - 1) / 2
    out = torch.empty_like(images)
    for row in range(height):
        for column in range(width):
            y, x = source(row - cy, column - cx)
            for index, image in enumerate(images):
                out[index, :, row, column] = _sampled(image, y + cy, x + cx)
    return out


@pytest.mark.parametrize("u", [0.0, 0.3, 0.9])
def test_rotation_by_hand(u):
    angle = math.radians(15) * (2 * u - 1)
    cos, sin = math.cos(angle), math.sin(angle)
    expected = _warped(_images(), lambda y, x: (sin * x + cos * y, cos * x - sin * y))
    torch.testing.assert_close(frepo.rotate(_images(), _uniforms(u)), expected)


def test_translation_by_hand():
    expected = _warped(_images(), lambda y, x: (y + 0.5 * 1, x - 0.25 * 1.5))  # of at most 8/8 rows and 12/8 columns
    torch.testing.assert_close(frepo.translate(_images(), _uniforms(0.75, 0.375)), expected)


@pytest.mark.parametrize("u", [0.0, 0.25, 0.99])
def test_crop_by_hand(u):
    zoom = 1.25 ** (2 * u - 1)
    dy, dx = 0.5 * abs(8 * zoom - 8) / 2, -0.5 * abs(12 * zoom - 12) / 2
    expected = _warped(_images(), lambda y, x: ((y + dy) / zoom, (x + dx) / zoom))
    torch.testing.assert_close(frepo.crop(_images(), _uniforms(u, 0.75, 0.25)), expected)


def test_middle_of_every_range_changes_nothing_but_cutout_and_flip():
    for name in ("color", "crop", "rotate", "translate", "flip"):
        torch.testing.assert_close(OPERATIONS[name](_images(), _uniforms()), _images())
    torch.testing.assert_close(frepo.flip(_images(), _uniforms(0.49)), _images().flip(-1))


def test_color_by_hand():
    images, (b, c, s) = _images(), (0.1, 0.9, 0.3)
    shifted = images + 0.25 * (2 * b - 1)
    mean = shifted.mean((1, 2, 3), keepdim=True)
    contrasted = (shifted - mean) * math.exp(0.25 * (2 * c - 1)) + mean
    gray = contrasted.mean(1, keepdim=True)
    expected = (contrasted - gray) * math.exp(0.25 * (2 * s - 1)) + gray
    torch.testing.assert_close(frepo.color(images, _uniforms(b, c, s)), expected)


@pytest.mark.parametrize(("u", "rows"), [(0.0, [0, 1]), (0.5, [3, 4]), (0.999, [6, 7])])
def test_cutout_lies_inside(u, rows):
    black = frepo.cutout(torch.ones(1, 1, 8, 8), torch.full((3, 1), u))[0, 0] == 0
    assert black.any(1).nonzero().flatten().tolist() == rows
    assert black.sum() == 4


def test_one_operation_a_batch_and_parameters_for_each_image():
    augment = FRePoAugmentation("translate")
    image = _images(1).expand(4, -1, -1, -1)
    out = augment(image, _generator(3))
    assert len({tuple(one.flatten().tolist()) for one in out}) == 4
    batch = FRePoAugmentation("flip_cutout")
    kinds = {bool((batch(torch.ones(32, 1, 8, 8), _generator(seed)) == 0).any()) for seed in range(20)}
    assert kinds == {True, False}


def test_depends_on_the_generator_alone():
    augment, state = FRePoAugmentation("flip_color_crop_rotate_translate_cutout"), torch.get_rng_state()
    first, again, other = (augment(_images(), _generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_unknown_operation():
    with pytest.raises(UserError, match=r"no operation 'scale'.*translate"):
        FRePoAugmentation("flip_scale")
