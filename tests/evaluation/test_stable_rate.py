"""The largest stable learning rate, against the kernel written out and against gradient descent itself."""

from functools import partial

import pytest
import torch
from torch import nn

from lightning_dd.evaluation.stable_rate import largest_stable_rate
from lightning_dd.networks import ConvNet, build


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_equals_the_kernel_written_out():
    network = build(partial(ConvNet, width=8, depth=2, norm="none"), (1, 8, 8), 3, _generator())
    images = torch.randn(6, 1, 8, 8, generator=_generator(1))
    rows = []
    for image in images:
        reduced = network(image[None]).sum() / 3**0.5
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(reduced, list(network.parameters()))]))
    jacobian = torch.stack(rows)
    largest = torch.linalg.eigvalsh(jacobian @ jacobian.T)[-1].item()
    assert largest_stable_rate(network, images) == pytest.approx(2 * 6 * 3 / largest, rel=1e-3)


def test_gradient_descent_converges_below_and_diverges_above():
    # one output: the reduced network is the network itself, and a linear one is its own linearisation
    images = torch.randn(5, 1, 2, 3, generator=_generator(1))
    targets = torch.randn(5, 1, generator=_generator(2))
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 1))
    rate = largest_stable_rate(network, images)
    losses = {}
    for factor in (0.97, 1.03):
        trained = nn.Sequential(nn.Flatten(), nn.Linear(6, 1))
        trained.load_state_dict(network.state_dict())
        for _ in range(400):
            loss = 0.5 * (trained(images) - targets).square().mean()
            gradients = torch.autograd.grad(loss, list(trained.parameters()))
            for weight, gradient in zip(trained.parameters(), gradients, strict=True):
                weight.data -= factor * rate * gradient
        losses[factor] = loss.item()
    assert losses[0.97] < 1 < 1e3 < losses[1.03]


def test_the_network_is_left_alone():
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(4, 2))
    largest_stable_rate(network, torch.randn(60, 1, 2, 2, generator=_generator()))
    assert network.training
    assert not network[0].running_mean.any()
    assert all(p.grad is None for p in network.parameters())
