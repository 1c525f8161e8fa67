"""A scalar with a gradient that was worked out before."""

import torch

from lightning_dd.losses import with_gradient


def test_value_and_gradient_are_those_given():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.square()
    loss = with_gradient(torch.tensor(5.0), y, torch.tensor([3.0, 4.0]))
    assert loss.item() == 5
    (2 * loss).backward()
    assert x.grad.tolist() == [2 * 3 * 2, 2 * 4 * 4]  # through the graph of y
