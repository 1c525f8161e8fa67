"""Needs the real data in the folder named by LIGHTNING_DD_DATA."""

import time

import pytest
import torch

from lightning_dd.data import CIFAR10, MNIST, FashionMNIST, TinyImageNet

pytestmark = pytest.mark.data


@pytest.mark.parametrize(("data_class", "name"), [(MNIST, "7"), (FashionMNIST, "Sneaker")])
def test_mnist_counts_and_normalization(real_data, data_class, name):
    data = data_class(real_data)
    data.setup()
    assert (len(data.train_images), len(data.test_images)) == (60_000, 10_000)
    assert data.class_names[7] == name
    assert data.test_labels.bincount(minlength=10).sum() == 10_000
    pixels = data.preprocessing(data.train_images)
    assert pixels.mean().abs() < 1e-3
    assert (pixels.std() - 1).abs() < 1e-3


@pytest.mark.slow
def test_cifar10_from_parquet_and_then_from_the_cache(real_data):
    data = CIFAR10(real_data)
    data.setup()
    assert data.train_images.shape == (50_000, 3, 32, 32)
    assert data.train_labels.bincount().tolist() == [5000] * 10
    assert data.test_labels.bincount().tolist() == [1000] * 10
    start = time.perf_counter()
    again = CIFAR10(real_data, normalization="frepo")
    again.setup()
    assert time.perf_counter() - start < 3
    assert torch.equal(again.train_images, data.train_images)
    pixels = again.preprocessing(data.train_images[:10_000])
    assert pixels.mean((0, 2, 3)).abs().max() < 0.05
    # JPEG took a little of the contrast away.
    assert (pixels.std((0, 2, 3)) - 1).abs().max() < 0.05


def test_a_quarter_of_tiny_imagenet(real_data):
    with pytest.warns(UserWarning, match="1 of 4"):
        data = TinyImageNet(real_data)
    data.setup()
    assert data.class_names[0] == "goldfish"
    assert (len(data.train_images), len(data.test_images)) == (25_000, 10_000)
    assert data.test_labels.bincount().tolist() == [50] * 200
    assert data.train_labels.bincount(minlength=200).min() > 60
