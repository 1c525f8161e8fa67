"""The convolutional tangent kernel: a hand-made case, networks of finite width, and its derivative."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lightning_dd.losses import conv_ntk, fc_ntk
from lightning_dd.rng import generator


def _images(count, seed=0, shape=(2, 4, 6)):
    return torch.randn(count, *shape, generator=generator(seed, "test"), dtype=torch.float64)


def test_one_pixel_is_a_fully_connected_network():
    """Eight of the nine inputs of a filter are zeros around the image: its fan-in is nine times what it sees."""
    first, second = _images(3, shape=(5, 1, 1)), _images(2, seed=1, shape=(5, 1, 1))
    torch.testing.assert_close(conv_ntk(first, second, depth=0), fc_ntk(first / 3, second / 3, depth=1))


class _Conv(nn.Module):
    """A 3x3 convolution in NTK parametrisation."""

    def __init__(self, channels, width):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(width, channels, 3, 3)), nn.Parameter(torch.empty(width))

    def forward(self, x):
        scale = math.sqrt(2 / self.weight[0].numel())
        return F.conv2d(x, scale * self.weight, 0.1 * self.bias, padding=1)


def _sampled_kernel(images, prepend, depth, width, draws):
    channels, height, side = images.shape[1:]
    features = width * (height >> depth) * (side >> depth)
    pooled = [False] * prepend + [True] * depth
    convolutions = nn.ModuleList(_Conv(width if index else channels, width) for index in range(len(pooled)))
    readout, bias = nn.Parameter(torch.empty(features)), nn.Parameter(torch.empty(()))
    parameters = [*convolutions.parameters(), readout, bias]
    for parameter in parameters:
        nn.init.normal_(parameter, generator=draws)
    gradients = []
    for image in images:
        maps = image[None]
        for convolution, pool in zip(convolutions, pooled, strict=True):
            maps = F.relu(convolution(maps))
            maps = F.avg_pool2d(maps, 2) if pool else maps
        output = math.sqrt(2 / features) * maps.flatten() @ readout + 0.1 * bias
        gradients.append(torch.cat([part.flatten() for part in torch.autograd.grad(output, parameters)]))
    stacked = torch.stack(gradients)
    return (stacked @ stacked.T).double()


@pytest.mark.parametrize(("prepend", "depth"), [(False, 1), (True, 1), (False, 2)])
def test_networks_of_finite_width_have_it_on_average(prepend, depth):
    images, draws = _images(3).float(), generator(0, "weights")
    kernels = torch.stack([_sampled_kernel(images, prepend, depth, 200, draws) for _ in range(30)])
    expected = conv_ntk(images, depth=depth, prepend=prepend)
    standard_error = kernels.std(0) / math.sqrt(len(kernels))
    assert (standard_error < 0.05 * expected.diagonal().max()).all()
    assert ((kernels.mean(0) - expected).abs() < 4 * standard_error).all()


def test_equal_images_of_two_sets_are_as_on_the_diagonal():
    images = _images(3)
    whole = conv_ntk(images, depth=2)
    torch.testing.assert_close(conv_ntk(images, images.clone(), depth=2), whole, rtol=1e-10, atol=0)
    torch.testing.assert_close(whole, whole.T)
    assert torch.linalg.eigvalsh(whole).min() > 0


def test_odd_sides_lose_their_last_row_as_in_pooling():
    assert conv_ntk(_images(2, shape=(1, 5, 7)), depth=2).shape == (2, 2)


def test_gradcheck():
    assert torch.autograd.gradcheck(
        lambda x: conv_ntk(x, depth=1), _images(2, shape=(1, 2, 4)).requires_grad_(), rtol=1e-2
    )
    real = _images(2, seed=1, shape=(1, 2, 4))
    assert torch.autograd.gradcheck(lambda x: conv_ntk(real, x, depth=1), _images(2, shape=(1, 2, 4)).requires_grad_())
