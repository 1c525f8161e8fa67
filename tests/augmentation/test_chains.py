"""Chains of DSA's operations, and CutMix."""

import torch

from lightning_dd.augmentation import DSA
from lightning_dd.augmentation.cutmix import cutmix

SIZE = (12, 10)


def _draws() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _images(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, 3, *SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_a_chain_is_its_operations_one_after_another():
    chain, images = DSA("color+crop+cutout"), _images(4, 5)
    draw = chain.draw(4, _draws(), SIZE)
    assert draw.values.shape == (4, 1, 9)
    expected = images
    for name, values in zip(("color", "crop", "cutout"), draw.values.split(3, -1), strict=True):
        single = DSA(name)
        expected = single.apply(type(draw)((name,) * 4, values), expected)
    assert torch.equal(chain.apply(draw, images), expected)
    assert (expected == 0).any()  # something was cut out


def test_one_of_several_chains_of_unequal_length_is_sampled():
    dsa = DSA("flip+scale_rotate")
    draw = dsa.draw(40, _draws(), SIZE)
    assert {*draw.operations} == {"flip+scale", "rotate"}
    assert dsa.apply(draw, _images(40, 2)).shape == (40, 2, 3, *SIZE)


def test_cutmix_mixes_labels_by_area():
    images = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 1, *SIZE)
    labels = torch.arange(6)
    shares = []
    for seed in range(20):
        mixed, soft = cutmix(images, labels, 6, torch.Generator().manual_seed(seed))
        torch.testing.assert_close(soft.sum(1), torch.ones(6))
        for row in range(6):  # every pixel says from which image it is
            pixels = torch.bincount(mixed[row].long().flatten(), minlength=6) / mixed[row].numel()
            torch.testing.assert_close(soft[row], pixels)
        shares.append(soft.diagonal().mean().item())
    assert min(shares) < 0.5 < max(shares)
    again, same = cutmix(images, soft, 6, torch.Generator().manual_seed(3))
    assert again.shape == images.shape
    assert same.shape == soft.shape
