"""DD's networks: their published sizes, their initial weights, and the normalization that is quick on a CPU."""

import math

import pytest
import torch
from torch import nn

from lightning_dd.errors import UserError
from lightning_dd.networks import AlexCifarNet, DDLeNet, build
from lightning_dd.networks.dd_networks import LocalResponseNorm


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("network", "image_shape", "features", "parameters"),
    [
        (DDLeNet, (1, 28, 28), 84, 61_706),
        (DDLeNet, (1, 32, 32), 84, 61_706),
        (DDLeNet, (3, 16, 18), 84, None),
        (AlexCifarNet, (3, 32, 32), 192, 1_756_426),
        (AlexCifarNet, (1, 9, 14), 192, None),
    ],
)
def test_published_sizes(network, image_shape, features, parameters):
    made = network(image_shape, 10)
    if parameters:
        assert sum(p.numel() for p in made.parameters()) == parameters
    images = torch.zeros(2, *image_shape)
    assert made.features(images).shape == (2, features)
    assert made(images).shape == (2, 10)


def test_too_small_images_are_refused():
    with pytest.raises(UserError, match="at least 16x16, not 8x20"):
        DDLeNet((1, 8, 20), 10)


@pytest.mark.parametrize(("network", "shape"), [(DDLeNet, (1, 28, 28)), (AlexCifarNet, (3, 32, 32))])
def test_weights_are_xavier_normal_and_biases_zero(network, shape):
    made = build(network, shape, 10, _generator(3))
    for layer in made.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert not layer.bias.any()
            fan_in, fan_out = layer.weight[0].numel(), layer.weight[:, 0].numel()
            count = layer.weight.numel()
            # the standard error of a standard deviation is about 1 / sqrt(2 n)
            expected = math.sqrt(2 / (fan_in + fan_out))
            assert layer.weight.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * count))
            assert layer.weight.abs().max() > 1.8 * expected  # beyond what a uniform draw reaches
    again, other = build(network, shape, 10, _generator(3)), build(network, shape, 10, _generator(4))
    assert torch.equal(again.classifier.weight, made.classifier.weight)
    assert not torch.equal(other.classifier.weight, made.classifier.weight)


@pytest.mark.parametrize("channels", [1, 3, 64])
def test_normalization_is_that_of_the_library(channels):
    x = (30 * torch.randn(2, channels, 5, 4, generator=_generator(), dtype=torch.float64)).requires_grad_()
    library = nn.LocalResponseNorm(4, alpha=0.001 / 9, beta=0.75, k=1)(x)
    ours = LocalResponseNorm()(x)
    torch.testing.assert_close(ours, library)
    assert (library / x.detach() - 1).abs().max() > 0.01  # it does something
    weights = torch.randn(ours.shape, generator=_generator(1), dtype=torch.float64)
    found, expected = (torch.autograd.grad((y * weights).sum(), x)[0] for y in (ours, library))
    torch.testing.assert_close(found, expected)


def test_twice_differentiable():
    x = (10 * torch.randn(1, 5, 2, 3, generator=_generator(), dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradgradcheck(LocalResponseNorm(), x)
