"""The distance to an expert, relative to the expert's way."""

import pytest
import torch

from lightning_dd.losses import trajectory_distance


def _weights(seed: int) -> torch.Tensor:
    return torch.randn(5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_number_by_hand():
    # (1² + 3²) / (2² + 1²)
    trained, start, target = torch.tensor([1.0, 4.0]), torch.tensor([0.0, 0.0]), torch.tensor([2.0, 1.0])
    assert trajectory_distance(trained, start, target).item() == pytest.approx(10 / 5)


def test_who_does_not_move_scores_exactly_one_and_who_arrives_zero():
    start, target = _weights(0), _weights(1)
    assert trajectory_distance(start.clone(), start, target).item() == 1
    assert trajectory_distance(target.clone(), start, target).item() == 0


def test_gradient():
    start, target = _weights(0), _weights(1)
    trained = _weights(2).requires_grad_()
    assert torch.autograd.gradcheck(lambda weights: trajectory_distance(weights, start, target), trained)
    (gradient,) = torch.autograd.grad(trajectory_distance(trained, start, target), trained)
    torch.testing.assert_close(gradient, 2 * (trained - target).detach() / (start - target).square().sum())


def test_the_scale_of_the_weights_does_not_matter():
    weights = [_weights(seed) for seed in range(3)]
    torch.testing.assert_close(trajectory_distance(*(1e3 * w for w in weights)), trajectory_distance(*weights))


def test_an_expert_that_does_not_move_gives_nothing_finite():
    assert not trajectory_distance(_weights(1), _weights(0), _weights(0)).isfinite()
