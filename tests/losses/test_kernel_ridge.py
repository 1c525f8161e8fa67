"""Kernel ridge regression against dense float64 solves, and what it does where they fail."""

import pytest
import torch

from lightning_dd.losses import centered_targets, label_margin, solve_ridge, squared_error
from lightning_dd.rng import generator


def _features(count, size=12, seed=0, dtype=torch.float64):
    return torch.randn(count, size, generator=generator(seed, "test"), dtype=dtype)


def _kernel(count=6, size=12, dtype=torch.float64):
    features = _features(count, size, dtype=dtype)
    return features @ features.T


def _dense(kernel, labels, ridge):
    """The formula, with a general solver in float64."""
    kernel, labels = kernel.double(), labels.double()
    regulariser = ridge * kernel.trace() / len(kernel)
    return torch.linalg.solve(kernel + regulariser * torch.eye(len(kernel), dtype=torch.float64), labels)


def test_hand_worked_number():
    # K = diag(1, 3), λ = 0.5 * (1 + 3) / 2 = 1: weights are 4 / (1 + 1) and 8 / (3 + 1)
    solution = solve_ridge(torch.tensor([[1.0, 0.0], [0.0, 3.0]]), torch.tensor([[4.0], [8.0]]), ridge=0.5)
    torch.testing.assert_close(solution.weights, torch.tensor([[2.0], [2.0]], dtype=torch.float64))
    assert solution.raised == 1


@pytest.mark.parametrize("ridge", [1e-6, 1e-2, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [1, 2, 10])
def test_dense_float64_solve(count, dtype, ridge):
    kernel, labels = _kernel(count, dtype=dtype), _features(count, 3, seed=1, dtype=dtype)
    solution = solve_ridge(kernel, labels, ridge)
    assert solution.weights.dtype == torch.float64
    assert solution.raised == 1
    torch.testing.assert_close(solution.weights, _dense(kernel, labels, ridge))


@pytest.mark.parametrize("ridge", [1e-6, 0.1])
def test_gradients_are_those_of_the_dense_solve(ridge):
    ours, theirs = (_features(6).requires_grad_() for _ in range(2))
    our_labels, their_labels = (_features(6, 3, seed=1).requires_grad_() for _ in range(2))
    real = _features(5, seed=2)
    (real @ ours.T @ solve_ridge(ours @ ours.T, our_labels, ridge).weights).square().sum().backward()
    (real @ theirs.T @ _dense(theirs @ theirs.T, their_labels, ridge)).square().sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    torch.testing.assert_close(our_labels.grad, their_labels.grad)


def test_gradcheck_to_images_and_labels():
    layer, real, targets = _features(8, 9, seed=3), _features(5, 9, seed=4), _features(5, 3, seed=5)

    def loss(images, labels):
        synthetic = (images.flatten(1) @ layer).relu()
        solution = solve_ridge(synthetic @ synthetic.T, labels, ridge=1e-3)
        readout = synthetic.T @ solution.weights
        return squared_error((real @ readout), targets, len(real)) + label_margin(labels)

    images = _features(4, 8, seed=6).view(4, 1, 2, 4).requires_grad_()  # H != W, one channel
    assert torch.autograd.gradcheck(loss, (images, _features(4, 3, seed=7).requires_grad_()))


def test_the_synthetic_set_reproduces_its_labels_up_to_the_ridge():
    kernel, labels = _kernel(8, size=30), _features(8, 3, seed=1)
    errors = [(kernel @ solve_ridge(kernel, labels, ridge).weights - labels).norm() for ridge in (1e-2, 1e-4, 1e-6)]
    assert errors[0] > 50 * errors[1] > 50 * 50 * errors[2]
    assert errors[2] < 1e-4


def test_an_asymmetric_kernel_is_symmetrised():
    kernel, labels = _kernel(), _features(6, 2, seed=1)
    skew = torch.triu(_features(6, 6, seed=2), 1)
    torch.testing.assert_close(solve_ridge(kernel + skew - skew.T, labels), solve_ridge(kernel, labels))


def test_an_indefinite_kernel_is_helped_and_says_so():
    vectors = torch.linalg.qr(_features(4, 4)).Q
    values = torch.tensor([1.0, 1.0, 1.0, -3e-5], dtype=torch.float64)  # what rounding may do to a singular kernel
    kernel, labels = (vectors * values) @ vectors.T, _features(4, 2, seed=1).requires_grad_()
    solution = solve_ridge(kernel, labels)
    assert solution.raised == 100
    torch.testing.assert_close(solution.weights, _dense(kernel, labels, 1e-4))
    solution.weights.sum().backward()
    assert labels.grad.isfinite().all()


@pytest.mark.parametrize("kernel", [torch.zeros(3, 3), torch.ones(3, 3)], ids=["zeros", "equal images"])
def test_singular_kernels_have_finite_predictions(kernel):
    kernel = kernel.clone().requires_grad_()
    labels = torch.eye(3, requires_grad=True)
    predictions = kernel.double() @ solve_ridge(kernel, labels).weights
    predictions.sum().backward()
    assert predictions.isfinite().all()
    assert kernel.grad.isfinite().all()
    assert labels.grad.isfinite().all()


@pytest.mark.parametrize("kernel", [torch.full((2, 2), torch.nan), -torch.eye(2)], ids=["nan", "negative"])
def test_what_is_no_kernel_gives_nan(kernel):
    assert solve_ridge(kernel, torch.eye(2)).weights.isnan().all()


def test_squared_error_is_half_the_mean_over_the_batch_of_the_sum_over_classes():
    predictions, targets = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 2.0], [0.0, 1.0]])
    assert squared_error(predictions, targets, 2).item() == (1 + 4 + 1) / 4
    shares = sum(squared_error(predictions[[row]], targets[[row]], 2) for row in range(2))
    assert shares == squared_error(predictions, targets, 2)


def test_label_margin():
    labels = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.3, 0.25], [-1.0, -1.0, -1.0]], requires_grad=True)
    value = label_margin(labels)
    torch.testing.assert_close(value, -torch.tensor(1 / 3 + 0.05 + 0.0) / 3)  # the first is capped at 1/C
    value.backward()
    expected = torch.tensor([[0.0, 0.0, 0.0], [0.0, -1 / 3, 1 / 3]])
    torch.testing.assert_close(labels.grad[:2], expected)


def test_label_margin_of_one_class_is_nothing():
    assert label_margin(torch.ones(3, 1)) == 0


def test_centered_targets():
    torch.testing.assert_close(centered_targets(torch.tensor([1]), 4), torch.tensor([[-0.25, 0.75, -0.25, -0.25]]))
