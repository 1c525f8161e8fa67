"""A scalar with a gradient that was worked out elsewhere."""

import torch

from lightning_dd.losses import with_gradient


def test_value_and_gradient():
    x = torch.randn(3, requires_grad=True)
    loss = with_gradient(torch.tensor(2.5), x, torch.tensor([1.0, -2.0, 3.0]))
    assert loss.item() == 2.5
    (2 * loss).backward()
    assert torch.equal(x.grad, torch.tensor([2.0, -4.0, 6.0]))


def test_the_graph_goes_on():
    x = torch.tensor([3.0], requires_grad=True)
    with_gradient(torch.tensor(0.0), x.square(), torch.tensor([5.0])).backward()
    assert x.grad.item() == 30


def test_a_gradient_that_is_not_finite_shows_in_the_value():
    x = torch.tensor([3.0], requires_grad=True)
    assert not with_gradient(torch.tensor(0.0), x, torch.tensor([float("inf")])).isfinite()
