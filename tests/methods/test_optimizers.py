"""LAMB against its formula, written out in Python's numbers; AdamW in normalized space against that of pixels."""

import math

import pytest
import torch

from lightning_dd.methods.optimizers import LAMB, AdamWTowards
from lightning_dd.rng import generator


def _written_out(start, gradients, lr, betas=(0.9, 0.999), eps=1e-6):
    """One tensor as a flat list: Adam's direction u, then p - lr ||p|| / ||u|| u."""
    values, first, second = list(start), [0.0] * len(start), [0.0] * len(start)
    for count, gradient in enumerate(gradients, start=1):
        first = [betas[0] * m + (1 - betas[0]) * g for m, g in zip(first, gradient, strict=True)]
        second = [betas[1] * v + (1 - betas[1]) * g * g for v, g in zip(second, gradient, strict=True)]
        direction = [
            (m / (1 - betas[0] ** count)) / (math.sqrt(v / (1 - betas[1] ** count)) + eps)
            for m, v in zip(first, second, strict=True)
        ]
        norms = math.hypot(*values), math.hypot(*direction)
        ratio = norms[0] / norms[1] if norms[0] > 0 and norms[1] > 0 else 1.0
        values = [p - lr * ratio * u for p, u in zip(values, direction, strict=True)]
    return values


def _run(start, gradients, lr=0.01):
    tensor = start.clone().requires_grad_()
    optimizer = LAMB([tensor], lr=lr)
    for gradient in gradients:
        tensor.grad = gradient.clone()
        optimizer.step()
    return tensor.detach()


def _draws(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, "test"), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(5,), (2, 1, 3, 2)])
@pytest.mark.parametrize("lr", [0.01, 1.0])
def test_written_out(shape, lr):
    start, gradients = _draws(*shape), _draws(6, *shape, seed=1)
    expected = _written_out(start.flatten().tolist(), gradients.flatten(1).tolist(), lr)
    torch.testing.assert_close(_run(start, gradients, lr).flatten(), torch.tensor(expected, dtype=torch.float64))


def test_one_ratio_for_the_whole_tensor():
    """An image of small norm moves as far as the others: a ratio of its own would hold it back."""
    start = torch.tensor([[100.0, 0.0], [0.01, 0.0]])
    moved = (_run(start, torch.ones(1, 2, 2)) - start).norm(dim=1)
    torch.testing.assert_close(moved[0], moved[1])


@pytest.mark.parametrize("size", [1e-4, 1e4])
def test_the_ratio_is_not_clamped(size):
    start = torch.full((4,), size, dtype=torch.float64)
    moved = (_run(start, torch.ones(1, 4, dtype=torch.float64)) - start).norm()
    torch.testing.assert_close(moved, 0.01 * start.norm())


def test_a_tensor_of_zeros_moves_as_with_adam():
    torch.testing.assert_close(_run(torch.zeros(3), torch.ones(1, 3)), torch.full((3,), -0.01), rtol=1e-5, atol=0)


def test_a_gradient_of_zeros_moves_nothing():
    assert torch.equal(_run(torch.ones(3), torch.zeros(2, 3)), torch.ones(3))


def test_groups_have_their_own_rates_and_what_has_no_gradient_stays():
    first, second, third = (torch.ones(2, requires_grad=True) for _ in range(3))
    optimizer = LAMB([{"params": [first], "lr": 0.5}, {"params": [second, third]}], lr=0.1)
    first.grad, second.grad = torch.ones(2), torch.ones(2)
    optimizer.step()
    torch.testing.assert_close(first.detach(), torch.full((2,), 0.5))
    torch.testing.assert_close(second.detach(), torch.full((2,), 0.9))
    assert torch.equal(third.detach(), torch.ones(2))


def test_a_closure_is_called_with_gradients():
    tensor = torch.ones(2, requires_grad=True)

    def closure():
        loss = tensor.sum()
        loss.backward()
        return loss

    assert LAMB([tensor], lr=0.1).step(closure) == 2
    assert (tensor < 1).all()


def test_state_resumes():
    start, gradients = _draws(4), _draws(6, 4, seed=1)
    tensor = start.clone().requires_grad_()
    optimizer = LAMB([tensor], lr=0.01)
    for gradient in gradients[:3]:
        tensor.grad = gradient.clone()
        optimizer.step()
    other = tensor.detach().clone().requires_grad_()
    resumed = LAMB([other], lr=0.5)
    resumed.load_state_dict(optimizer.state_dict())
    for gradient in gradients[3:]:
        other.grad = gradient.clone()
        resumed.step()
    assert torch.equal(other.detach(), _run(start, gradients))


def test_decay_of_normalized_images_is_that_of_their_pixels():
    """With x = (p - mean) / std and black at -mean / std, as many steps end at the same pixels."""
    mean, std, lr, decay = 0.4, 0.25, 0.01, 0.1
    start = torch.rand(3, 4, dtype=torch.float64)
    pixels = start.clone().requires_grad_()
    images = ((pixels.detach() - mean) / std).requires_grad_()
    ours = AdamWTowards([images], lr / std, decay * std, torch.tensor(-mean / std))
    published = torch.optim.AdamW([pixels], lr, eps=1e-8 / std, weight_decay=decay)
    for step in range(5):
        for optimizer, tensor, scale in ((ours, images, 1.0), (published, pixels, 1 / std)):
            tensor.grad = scale * torch.full_like(tensor, 1.0 - 0.3 * step)
            optimizer.step()
    torch.testing.assert_close(images * std + mean, pixels, rtol=1e-9, atol=1e-9)
    assert (pixels < start - 3 * lr).all()
