"""Samples in which each class has its share."""

import pytest
import torch

from lightning_dd.data.splits import stratified_sample


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("count", "expected"), [(6, [1, 2, 3]), (12, [2, 4, 6]), (60, [10, 20, 30]), (99, [10, 20, 30])]
)
def test_each_class_has_its_share(count, expected):
    labels = torch.tensor([0] * 10 + [1] * 20 + [2] * 30)[torch.randperm(60, generator=_generator())]
    rows = stratified_sample(labels, count, _generator())
    assert labels[rows].bincount().tolist() == expected
    assert rows.unique().tolist() == rows.tolist()
    assert torch.equal(rows, stratified_sample(labels, count, _generator()))


def test_a_small_sample_has_every_class():
    rows = stratified_sample(torch.arange(4).repeat(25), 6, _generator())
    assert sorted((rows % 4).bincount(minlength=4).tolist()) == [1, 1, 2, 2]


def test_a_class_without_images_has_none():
    assert len(stratified_sample(torch.tensor([0, 2, 2, 0]), 2, _generator())) == 2
