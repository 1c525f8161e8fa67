"""The neural tangent kernel: hand-computed cases, a naive recursion, networks of finite width, and its derivative."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lightning_dd.losses import fc_ntk, ntk
from lightning_dd.rng import generator


def _images(count, seed=0, shape=(1, 2, 5)):
    return torch.randn(count, *shape, generator=generator(seed, "test"), dtype=torch.float64)


def _naive(x, y, depth):
    """The recursion for one pair, in Python's numbers."""
    size = len(x)

    def dot(u, v):
        return sum(a * b for a, b in zip(u, v, strict=True)) / size

    own = [2 * dot(x, x) + 0.01, 2 * dot(y, y) + 0.01]
    covariance = theta = 2 * dot(x, y) + 0.01
    for _ in range(depth):
        scale = math.sqrt(own[0] * own[1])
        cosine = min(1.0, covariance / scale)
        angle = math.acos(cosine)
        expected = scale / (2 * math.pi) * (math.sin(angle) + (math.pi - angle) * cosine)
        theta *= (math.pi - angle) / (2 * math.pi)
        covariance = 2 * expected + 0.01
        theta = covariance + 2 * theta
        own = [a + 0.01 for a in own]
    return theta


def test_hand_worked_numbers(monkeypatch):
    # orthogonal images of unit mean square without biases: S = 0, angle 90 degrees.
    images = math.sqrt(2) * torch.eye(2)
    monkeypatch.setattr(ntk, "BIAS_VARIANCE", 0.0)
    kernel = fc_ntk(images)
    # off the diagonal w sqrt(ab) / 2π = 2 * 2 / 2π, on it S' + w Θ / 2 = 2 + 2
    torch.testing.assert_close(kernel, torch.tensor([[4, 2 / math.pi], [2 / math.pi, 4]], dtype=torch.float64))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_naive_recursion(depth):
    first, second = _images(4), _images(3, seed=1)
    expected = [[_naive(x.flatten().tolist(), y.flatten().tolist(), depth) for y in second] for x in first]
    torch.testing.assert_close(fc_ntk(first, second, depth), torch.tensor(expected, dtype=torch.float64))


class _Layer(nn.Linear):
    """A dense layer in NTK parametrization: unit weights, scaled when they are used."""

    def forward(self, x):
        return math.sqrt(2 / self.in_features) * x @ self.weight.T + 0.1 * self.bias


def _sampled_kernel(images, depth, width, draws):
    """The kernel of one network of finite width: inner products of its gradients."""
    layers = nn.ModuleList([_Layer(images.shape[1], width), *(_Layer(width, width) for _ in range(depth - 1))])
    layers.append(_Layer(width, 1))
    for parameter in layers.parameters():
        nn.init.normal_(parameter, generator=draws)
    gradients = []
    for image in images:
        for layer in layers[:-1]:
            image = F.relu(layer(image))
        parts = torch.autograd.grad(layers[-1](image), list(layers.parameters()))
        gradients.append(torch.cat([part.flatten() for part in parts]))
    stacked = torch.stack(gradients)
    return (stacked @ stacked.T).double()


@pytest.mark.parametrize(("depth", "width"), [(1, 4000), (2, 500)])
def test_networks_of_finite_width_have_it_on_average(depth, width):
    images, draws = _images(3, shape=(6,)).float(), generator(0, "weights")
    kernels = torch.stack([_sampled_kernel(images, depth, width, draws) for _ in range(40)])
    expected = fc_ntk(images, depth=depth)
    standard_error = kernels.std(0) / math.sqrt(len(kernels))
    assert (standard_error < 0.03 * expected.diagonal().max()).all()
    assert ((kernels.mean(0) - expected).abs() < 4 * standard_error).all()


def test_symmetric_and_positive_definite():
    kernel = fc_ntk(_images(12), depth=3)
    torch.testing.assert_close(kernel, kernel.T)
    assert torch.linalg.eigvalsh(kernel).min() > 0


def test_is_computed_in_float64():
    assert fc_ntk(_images(2).float()).dtype == torch.float64


def test_gradcheck():
    assert torch.autograd.gradcheck(lambda x: fc_ntk(x, depth=2), _images(3).requires_grad_())
    assert torch.autograd.gradcheck(lambda x: fc_ntk(_images(2, seed=1), x), _images(3).requires_grad_())


@pytest.mark.parametrize("sign", [1, -1])
def test_equal_and_opposite_images_have_finite_gradients(sign):
    images = _images(4).requires_grad_()
    kernel = fc_ntk(sign * images.detach(), images)  # a support that still equals the targets
    (gradient,) = torch.autograd.grad(kernel.sum(), images)
    assert gradient.isfinite().all()


def test_the_diagonal_is_exact_and_differentiable():
    images = (1e3 * _images(4, shape=(3, 8, 8))).requires_grad_()
    diagonal = fc_ntk(images).diagonal()
    own = 2 * images.flatten(1).square().mean(1) + 0.01
    torch.testing.assert_close(diagonal, 2 * own + 0.01, rtol=1e-14, atol=0)
    (gradient,) = torch.autograd.grad(diagonal.sum(), images)
    torch.testing.assert_close(gradient, 2 * 4 * images / (3 * 8 * 8), rtol=1e-9, atol=0)


def test_equal_images_of_two_sets_are_as_on_the_diagonal():
    images = _images(5, shape=(3, 32, 32))
    torch.testing.assert_close(fc_ntk(images, images.clone()), fc_ntk(images), rtol=1e-12, atol=0)
