"""Distances between gradients: against loops written from the formula, and their gradients."""

import pytest
import torch

from lightning_dd.losses import DISTANCES, convolution_distance, cosine_distance, rowwise_distance, squared_distance

SHAPES = ((4, 3, 3, 2), (4,), (4, 2, 3), (5, 6), (5,))  # convolution, bias, LayerNorm, linear, bias
ROWS = 4 + 4 + 5


def _gradients(classes: int = 3, seed: int = 0, dtype=torch.float64) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(classes, *shape, generator=draw, dtype=dtype) for shape in SHAPES]


def _naive_rowwise(real, synthetic) -> float:
    """Row by row in Python numbers; 1-D parameters are skipped."""
    total = 0.0
    for ours, theirs in zip(real, synthetic, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            if one.ndim == 1:
                continue
            for row, other_row in zip(
                one.reshape(len(one), -1).tolist(), other.reshape(len(one), -1).tolist(), strict=True
            ):
                product = sum(a * b for a, b in zip(row, other_row, strict=True))
                norms = sum(a * a for a in row) ** 0.5 * sum(b * b for b in other_row) ** 0.5
                total += 1 - product / (norms + 1e-6)
    return total


def test_rowwise_by_hand():
    real = [torch.tensor([[[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]]])]
    synthetic = [torch.tensor([[[4.0, 3.0], [-2.0, 0.0], [1.0, 1.0]]])]
    assert rowwise_distance(real, synthetic).item() == pytest.approx((1 - 24 / 25) + 2 + 1, abs=1e-5)


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-5])
def test_rowwise_is_the_formula(classes, scale):
    """At small scales epsilon decides: it stands on the product of the norms."""
    real, synthetic = _gradients(classes), [scale * gradient for gradient in _gradients(classes, 1)]
    assert rowwise_distance(real, synthetic).item() == pytest.approx(_naive_rowwise(real, synthetic), rel=1e-12)


def test_rowwise_range():
    gradients, opposite = _gradients(), [-1e4 * gradient for gradient in _gradients()]
    assert rowwise_distance(gradients, gradients).item() == pytest.approx(0, abs=1e-4)
    assert rowwise_distance(gradients, opposite).item() == pytest.approx(2 * 3 * ROWS, abs=1e-4)
    for seed in range(5):
        assert 0 <= rowwise_distance(gradients, _gradients(seed=seed)).item() <= 2 * 3 * ROWS


def test_rows_without_gradient_are_at_distance_one():
    zeros = [torch.zeros_like(gradient).requires_grad_() for gradient in _gradients()]
    distance = rowwise_distance(_gradients(), zeros)
    assert distance.item() == pytest.approx(3 * ROWS)
    gradients = torch.autograd.grad(distance, zeros, allow_unused=True)
    for zero, gradient in zip(zeros, gradients, strict=True):
        assert (gradient is None) == (zero.ndim == 2)  # 1-D parameters, one for each class, do not take part
        assert gradient is None or gradient.isfinite().all()


def test_one_dimensional_parameters_count_in_the_joined_distances_only():
    real, synthetic = _gradients(), _gradients(seed=1)
    changed = [gradient + 1 if gradient.ndim == 2 else gradient for gradient in synthetic]
    assert torch.equal(rowwise_distance(real, changed), rowwise_distance(real, synthetic))
    for distance in (squared_distance, cosine_distance):
        assert not torch.allclose(distance(real, changed), distance(real, synthetic))


def test_joined_distances_are_the_formulas():
    real, synthetic = _gradients(), _gradients(seed=1)
    squared, cosine = 0.0, 0.0
    for label in range(3):
        ours, theirs = (torch.cat([gradient[label].flatten() for gradient in g]) for g in (real, synthetic))
        squared += (ours - theirs).pow(2).sum().item()
        cosine += 1 - (ours @ theirs).item() / ((ours @ ours).sqrt() * (theirs @ theirs).sqrt() + 1e-6).item()
    assert squared_distance(real, synthetic).item() == pytest.approx(squared)
    assert cosine_distance(real, synthetic).item() == pytest.approx(cosine)


def test_convolutions_by_hand():
    real = [torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[9.0, 9.0]]]), torch.tensor([[9.0]])]
    synthetic = [torch.tensor([[[[0.0, 5.0]]]]), torch.tensor([[[0.0, 0.0]]]), torch.tensor([[0.0]])]
    assert convolution_distance(real, synthetic).item() == 1 + 9
    assert convolution_distance(real, synthetic, power=1).item() == 1 + 3


@pytest.mark.parametrize(("name", "power"), [("conv_mse", 2), ("conv_l1", 1)])
def test_convolution_distances_are_the_formula(name, power):
    real, synthetic, total = _gradients(), _gradients(seed=1), 0.0
    for shape, ours, theirs in zip(SHAPES, real, synthetic, strict=True):
        if len(shape) > 2:  # neither linear layers nor what has one dimension
            pairs = zip(ours.flatten().tolist(), theirs.flatten().tolist(), strict=True)
            total += sum(abs(a - b) ** power for a, b in pairs)
    assert DISTANCES[name](real, synthetic).item() == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("name", DISTANCES)
def test_classes_add_up(name):
    real, synthetic, distance = _gradients(), _gradients(seed=1), DISTANCES[name]
    single = [distance([g[c : c + 1] for g in real], [g[c : c + 1] for g in synthetic]) for c in range(3)]
    torch.testing.assert_close(sum(single), distance(real, synthetic))


@pytest.mark.parametrize("name", DISTANCES)
def test_derivatives(name):
    real = _gradients(2)
    synthetic = [gradient.requires_grad_() for gradient in _gradients(2, seed=1)]

    def distance(*gradients):
        return DISTANCES[name](real, gradients)

    assert torch.autograd.gradcheck(distance, synthetic, fast_mode=True)
    assert torch.autograd.gradgradcheck(distance, synthetic, fast_mode=True)
