import math

import pytest
import torch

from lightning_dd.losses import attention_map, characteristic_distance, characteristic_function, covariance_distance


def _features(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_covariance_distance_hand_worked():
    real = torch.tensor([[[0.0, 0.0], [2.0, 2.0]]])  # covariance: all twos
    synthetic = torch.tensor([[[0.0, 1.0], [2.0, 1.0]]])  # two in the first place
    assert covariance_distance(real, synthetic).item() == 12.0


@pytest.mark.parametrize("count", [1, 4])
def test_covariance_distance_is_that_of_the_matrices(count):
    real, synthetic = _features(2, 5, 3), _features(2, count, 3, seed=1)
    naive = sum(
        (torch.cov(r.T) - (torch.cov(s.T) if count > 1 else 0)).square().sum()
        for r, s in zip(real, synthetic, strict=True)
    )
    torch.testing.assert_close(covariance_distance(real, synthetic), naive)


def test_characteristic_function_hand_worked():
    features = torch.tensor([[[2.0, 0.0], [0.0, 5.0]]])  # of length 1: the unit vectors
    frequencies = torch.tensor([[math.pi, math.pi / 2]])
    found = characteristic_function(features, frequencies)
    torch.testing.assert_close(found, torch.tensor([[[-0.5, 0.5]]]), atol=1e-6, rtol=0)  # (e^{i pi} + e^{i pi / 2}) / 2


@pytest.mark.parametrize("amplitude", [0.2, 0.5])
def test_characteristic_distance_is_the_formula(amplitude):
    frequencies = _features(6, 3, seed=2)
    real, synthetic = (characteristic_function(_features(2, n, 3, seed=n), frequencies) for n in (5, 1))
    total = 0.0
    for r, s in zip(real, synthetic, strict=True):
        for one, other in zip(r.tolist(), s.tolist(), strict=True):
            a, b = complex(*one), complex(*other)
            phases = math.atan2(a.imag, a.real) - math.atan2(b.imag, b.real)
            square = amplitude * (abs(a) - abs(b)) ** 2 + (1 - amplitude) * 2 * abs(a) * abs(b) * (1 - math.cos(phases))
            total += math.sqrt(square) / 6
    assert characteristic_distance(real, synthetic, amplitude).item() == pytest.approx(total, abs=1e-6)


def test_equal_and_permuted_sets_have_no_characteristic_distance():
    features, frequencies = _features(2, 4, 3), _features(6, 3, seed=2)
    other = features[:, [2, 0, 3, 1]].clone().requires_grad_()
    distance = characteristic_distance(
        characteristic_function(features, frequencies), characteristic_function(other, frequencies)
    )
    assert distance.item() < 1e-5
    distance.backward()
    assert other.grad.isfinite().all()


def test_nearly_equal_characteristic_functions_have_a_finite_distance():
    real = torch.randn(4, 4096, 2, generator=torch.Generator().manual_seed(0))
    other = (real * (1 + 1e-7)).requires_grad_()
    for amplitude in (0.2, 0.5, 0.8):
        (slope,) = torch.autograd.grad(characteristic_distance(real, other, amplitude), other)
        assert slope.isfinite().all()


def test_attention_map_hand_worked():
    maps = torch.tensor([[[[1.0, 0.0], [0.0, -2.0]], [[1.0, 0.0], [1.0, 0.0]]]])  # squares: 2, 0, 1, 4
    torch.testing.assert_close(attention_map(maps, 2), torch.tensor([[2.0, 0.0, 1.0, 4.0]]) / 21**0.5)


def test_gradcheck():
    real, synthetic, frequencies = _features(2, 5, 3), _features(2, 4, 3, seed=1).requires_grad_(), _features(6, 3)
    goal = characteristic_function(real, frequencies)
    assert torch.autograd.gradcheck(lambda s: covariance_distance(real, s), synthetic)
    assert torch.autograd.gradcheck(
        lambda s: characteristic_distance(goal, characteristic_function(s, frequencies)), synthetic
    )
    maps = _features(2, 3, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: attention_map(m, 4), maps)
