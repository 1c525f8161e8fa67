"""Training whose gradient sees each step for itself: against autograd of the same objective."""

import functools

import pytest
import torch

from lightning_dd.networks import ConvNet, build
from lightning_dd.unroll import CrossEntropy, FlatNetwork, InnerStep, unroll
from lightning_dd.unroll.first_order import unroll_first_order

SHAPE, CLASSES, STEPS = (1, 5, 4), 3, 4


class _Problem:
    """Images and soft labels that take turns in two batches, and weights to arrive at."""

    def __init__(self) -> None:
        draws = torch.Generator().manual_seed(0)
        network = build(functools.partial(ConvNet, width=2, depth=1), SHAPE, CLASSES, draws).double()
        self.objective = CrossEntropy(FlatNetwork(network))
        self.start = self.objective.network.weights()
        self.target = self.start + 0.1 * torch.randn(self.start.shape, generator=draws, dtype=torch.float64)
        self.images = torch.randn(6, *SHAPE, generator=draws, dtype=torch.float64).requires_grad_()
        self.labels = torch.rand(6, CLASSES, generator=draws, dtype=torch.float64).requires_grad_()
        self.sizes = (0.2 * (1 + torch.rand(STEPS, generator=draws, dtype=torch.float64))).requires_grad_()

    def batch(self, inputs, n):
        rows = torch.arange(3) + 3 * (n % 2)
        images, labels = (tensor[rows] for tensor in inputs)
        return images.flip(3) if n == 2 else images, labels.softmax(1)

    def ours(self):
        return unroll_first_order(self.objective, self.start, (self.images, self.labels), self.batch, self.sizes)

    def naive(self):
        """θ_0 less the steps, each with the weights before it cut off from what they came from."""
        weights = self.start
        for n in range(STEPS):
            given = weights.detach().requires_grad_()
            loss = self.objective(given, *self.batch((self.images, self.labels), n))
            (gradient,) = torch.autograd.grad(loss, given, create_graph=True)
            weights = weights - self.sizes[n] * gradient
        return weights

    def gradients(self, trained):
        return torch.autograd.grad((trained - self.target).square().sum(), (self.images, self.labels, self.sizes))


def test_the_weights_are_those_of_the_full_unroll():
    problem = _Problem()
    step = InnerStep(problem.objective)
    full = unroll(step, problem.start, (problem.images, problem.labels), problem.batch, problem.sizes)
    torch.testing.assert_close(problem.ours(), full)
    torch.testing.assert_close(problem.ours(), problem.naive())


def test_the_gradient_is_that_of_the_detached_objective_and_not_the_whole_one():
    problem = _Problem()
    ours = problem.gradients(problem.ours())
    for found, expected in zip(ours, problem.gradients(problem.naive()), strict=True):
        torch.testing.assert_close(found, expected)
    step = InnerStep(problem.objective)
    full = unroll(step, problem.start, (problem.images, problem.labels), problem.batch, problem.sizes)
    for found, whole in zip(ours, problem.gradients(full), strict=True):
        assert (found - whole).norm() > 1e-3 * whole.norm()


def test_one_step_has_nothing_to_leave_out():
    problem = _Problem()
    problem.sizes = problem.sizes.detach()[:1].requires_grad_()
    step = InnerStep(problem.objective)
    full = unroll(step, problem.start, (problem.images, problem.labels), problem.batch, problem.sizes)
    for found, whole in zip(problem.gradients(problem.ours()), problem.gradients(full), strict=True):
        torch.testing.assert_close(found, whole)


@pytest.mark.parametrize("learned", ["images", "labels"])
def test_what_is_not_learned_gets_no_gradient(learned):
    problem = _Problem()
    other = {"images": "labels", "labels": "images"}[learned]
    setattr(problem, other, getattr(problem, other).detach())
    (gradient,) = torch.autograd.grad(problem.ours().sum(), getattr(problem, learned))
    assert gradient.abs().max() > 0


def test_autocast_is_left_out():
    problem = _Problem()
    for name in ("start", "target"):
        setattr(problem, name, getattr(problem, name).float())
    for name in ("images", "labels", "sizes"):
        setattr(problem, name, getattr(problem, name).detach().float().requires_grad_())
    plain = problem.ours()
    expected = problem.gradients(plain)
    with torch.autocast("cpu", torch.bfloat16):
        half = problem.ours()
        found = problem.gradients(half)
    assert torch.equal(half, plain)
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
