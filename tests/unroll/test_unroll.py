"""Unrolled training: its forms against finite differences, against a naive loop and against each other."""

import functools

import pytest
import torch
from torch.nn import functional as F

from lightning_dd.networks import ConvNet, build
from lightning_dd.unroll import SGD, Adam, CrossEntropy, FlatNetwork, InnerStep, unroll

SHAPE = (1, 5, 4)
CLASSES, STEPS = 3, 4
OPTIMIZERS = {"sgd": SGD(), "momentum": SGD(0.9), "adam": Adam()}
BY_OPTIMIZER = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _network(seed: int = 0) -> torch.nn.Module:
    # smooth, so that finite differences are right
    factory = functools.partial(ConvNet, width=2, depth=1, activation="swish")
    return build(factory, SHAPE, CLASSES, _generator(seed))


class _Problem:
    """Images, labels, step sizes, real images and a network: everything small."""

    def __init__(self, optimizer, compile: bool = False) -> None:
        self.network = _network()
        self.flat = FlatNetwork(self.network)
        self.step = InnerStep(CrossEntropy(self.flat), optimizer, compile)
        size = 0.01 if isinstance(optimizer, Adam) else 0.2
        self.images = torch.randn(2 * CLASSES, *SHAPE, generator=_generator(1)).requires_grad_()
        self.labels = torch.arange(CLASSES).repeat(2)
        self.sizes = (size * (1 + torch.rand(STEPS, generator=_generator(2)))).requires_grad_()
        self.real = torch.randn(7, *SHAPE, generator=_generator(3))
        self.real_labels = torch.arange(7) % CLASSES
        self.weights = self.flat.weights()

    def batch(self, inputs, t):
        """Two batches that take turns."""
        rows = torch.arange(CLASSES) + CLASSES * (t % 2)
        return tuple(tensor[rows] for tensor in inputs)

    def trained(self, images=None, sizes=None, weights=None, **options):
        inputs = (self.images if images is None else images, self.labels)
        sizes = self.sizes if sizes is None else sizes
        return unroll(self.step, self.weights if weights is None else weights, inputs, self.batch, sizes, **options)

    def loss(self, *arguments, **options):
        """Cross-entropy of the real images after the training."""
        return F.cross_entropy(self.flat(self.trained(*arguments, **options), self.real), self.real_labels)

    def gradients(self, **options):
        return torch.autograd.grad(self.loss(**options), (self.images, self.sizes))


def _relative(ours, theirs):
    return ((ours - theirs).norm() / theirs.norm()).item()


@BY_OPTIMIZER
@pytest.mark.parametrize("recompute", [False, True])
def test_gradients_of_the_whole_objective_are_finite_differences(optimizer, recompute):
    problem = _Problem(optimizer)
    loss = functools.partial(problem.loss, recompute=recompute)
    assert torch.autograd.gradcheck(
        loss, (problem.images, problem.sizes), eps=1e-6, atol=1e-7, rtol=1e-4, fast_mode=True
    )


@BY_OPTIMIZER
@pytest.mark.parametrize("start", [0, 1, STEPS - 1])
def test_recomputation_equals_the_full_graph(optimizer, start):
    problem = _Problem(optimizer)
    graph = problem.gradients(recompute=False, start=start)
    again = problem.gradients(recompute=True, start=start)
    forwards = [problem.trained(recompute=recompute, start=start) for recompute in (False, True)]
    torch.testing.assert_close(*forwards, rtol=1e-8, atol=1e-8)
    for ours, theirs in zip(again, graph, strict=True):
        assert theirs.abs().max() > 0
        assert _relative(ours, theirs) < 1e-6


@BY_OPTIMIZER
def test_gradients_reach_the_first_weights(optimizer):
    problem = _Problem(optimizer)
    weights = problem.weights.clone().requires_grad_()
    graph, again = (torch.autograd.grad(problem.loss(None, None, weights, recompute=r), weights)[0] for r in (0, 1))
    assert _relative(again, graph) < 1e-6
    assert not torch.autograd.grad(problem.loss(None, None, weights, start=1), weights, materialize_grads=True)[0].any()


@BY_OPTIMIZER
def test_steps_are_those_of_torch_optim(optimizer):
    problem = _Problem(optimizer)
    network = _network()
    classes = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    options = {"momentum": optimizer.momentum} if isinstance(optimizer, SGD) else {}
    stock = classes[type(optimizer).__name__.lower()](network.parameters(), **options)
    for t, size in enumerate(problem.sizes.tolist()):
        stock.param_groups[0]["lr"] = size
        images, labels = problem.batch((problem.images.detach(), problem.labels), t)
        stock.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        stock.step()
    torch.testing.assert_close(problem.trained(), problem.flat.weights(network), rtol=1e-8, atol=1e-8)


def test_a_naive_loop_gives_the_same():
    """Parameters by name, `w - η g`, and one backward through everything."""
    problem = _Problem(SGD())
    parameters = {name: p.detach().requires_grad_() for name, p in problem.network.named_parameters()}
    for t, size in enumerate(problem.sizes):
        images, labels = problem.batch((problem.images, problem.labels), t)
        loss = F.cross_entropy(torch.func.functional_call(problem.network, parameters, images), labels)
        found = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
        parameters = {name: p - size * g for (name, p), g in zip(parameters.items(), found, strict=True)}
    logits = torch.func.functional_call(problem.network, parameters, problem.real)
    naive = torch.autograd.grad(F.cross_entropy(logits, problem.real_labels), (problem.images, problem.sizes))
    for ours, theirs in zip(problem.gradients(), naive, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("recompute", [False, True])
def test_steps_before_the_window_get_no_gradient(recompute):
    problem = _Problem(SGD(0.9))
    images, sizes = problem.gradients(recompute=recompute, start=3)
    assert not sizes[:3].any()
    assert sizes[3].abs() > 0
    assert not images[:CLASSES].any()  # the first of the two batches, whose turn was before
    assert images[CLASSES:].any()
    torch.testing.assert_close(problem.trained(start=3), problem.trained())  # the training itself is the same


def test_one_step_size_for_all_gets_the_sum():
    problem = _Problem(SGD())
    single = torch.tensor(0.2, requires_grad=True)
    (ours,) = torch.autograd.grad(problem.loss(None, single.expand(STEPS)), single)
    each = torch.full((STEPS,), 0.2, requires_grad=True)
    torch.testing.assert_close(ours, torch.autograd.grad(problem.loss(None, each), each)[0].sum())


def test_dead_units_do_not_spoil_adam():
    problem = _Problem(Adam())
    problem.weights = problem.weights * 0  # most gradients are exactly zero
    assert all(gradient.isfinite().all() for gradient in problem.gradients())


def test_autocast_is_left_out():
    problem = _Problem(SGD())
    images = problem.images.detach().float().requires_grad_()
    arguments = images, problem.sizes.detach().float(), problem.weights.float()
    plain = problem.trained(*arguments)
    (expected,) = torch.autograd.grad(plain, images, torch.ones_like(plain))
    with torch.autocast("cpu", torch.bfloat16):
        half = problem.trained(*arguments)
        (found,) = torch.autograd.grad(half, images, torch.ones_like(half))
        torch.testing.assert_close(problem.trained(*arguments, recompute=False), plain)  # far closer than bf16
    assert torch.equal(half, plain)
    assert torch.equal(found, expected)


@pytest.mark.slow
def test_compiled_equals_eager():
    eager, compiled = _Problem(Adam()).gradients(), _Problem(Adam(), compile=True).gradients()
    for ours, theirs in zip(compiled, eager, strict=True):
        assert _relative(ours, theirs) < 1e-6


def test_soft_labels_learn_too():
    problem = _Problem(SGD())
    soft = torch.rand(2 * CLASSES, CLASSES, generator=_generator(4)).requires_grad_()
    graph, again = (
        torch.autograd.grad(
            unroll(problem.step, problem.weights, (problem.images, soft), problem.batch, problem.sizes, recompute=r)
            .square()
            .sum(),
            soft,
        )[0]
        for r in (False, True)
    )
    assert graph.abs().max() > 0
    assert _relative(again, graph) < 1e-6
