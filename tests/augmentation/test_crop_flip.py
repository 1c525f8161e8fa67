"""Shifted crops with reflected borders, and mirroring."""

import pytest
import torch
from torch.nn import functional as F

from lightning_dd.augmentation.crop_flip import CropFlip


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", [(9, 7), (5, 5)])
def test_equals_padding_cropping_and_flipping(size):
    images = torch.randn(20, 2, *size, generator=_generator())
    augmentation = CropFlip(4)
    draw = augmentation.draw(20, _generator(1))
    for image, (down, right, mirrored), ours in zip(
        images, draw.tolist(), augmentation.apply(draw, images), strict=True
    ):
        padded = F.pad(image[None], (4, 4, 4, 4), mode="reflect")[0]
        crop = padded[:, 4 + down : 4 + down + size[0], 4 + right : 4 + right + size[1]]
        assert torch.equal(ours, crop.flip(2) if mirrored else crop)


def test_a_side_gives_no_more_border_than_it_has():
    images = torch.randn(50, 1, 3, 1, generator=_generator())
    draw = CropFlip(4).draw(50, _generator(1))
    less = torch.cat([draw[:, :1].clamp(-2, 2), draw[:, 1:]], 1)
    assert torch.equal(CropFlip(4).apply(draw, images), CropFlip(2).apply(less, images))


def test_every_shift_and_both_sides_occur():
    draw = CropFlip(4).draw(2000, _generator())
    assert draw[:, 0].unique().tolist() == draw[:, 1].unique().tolist() == list(range(-4, 5))
    assert draw[:, 2].unique().tolist() == [0, 1]


def test_a_share_is_augmented_as_in_the_whole():
    images, augmentation = torch.randn(7, 1, 6, 6, generator=_generator()), CropFlip()
    draw = augmentation.draw(7, _generator(2))
    assert torch.equal(augmentation.apply(draw[1::2], images[1::2]), augmentation.apply(draw, images)[1::2])
