"""Training by the steps that a set brings."""

import functools

import pytest
import torch

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.preprocessing import Normalization
from lightning_dd.errors import UserError
from lightning_dd.evaluation import evaluate, find_protocol
from lightning_dd.evaluation.protocol import Protocol
from lightning_dd.networks import ConvNet, build
from lightning_dd.unroll import SGD, Adam, CrossEntropy, FlatNetwork, InnerStep, unroll

SHAPE, CLASSES = (1, 8, 8), 3
FACTORY = functools.partial(ConvNet, width=4, depth=1)
ORDER = torch.tensor([[0, 2, 4], [1, 3, 5], [5, 0, 2]])
SIZES = torch.tensor([0.3, 0.2, 0.1])


def _network(seed: int = 0, **options) -> ConvNet:
    return build(functools.partial(FACTORY, **options), SHAPE, CLASSES, torch.Generator().manual_seed(seed))


def _distilled(inner=None, **tensors) -> DistilledDataset:
    images = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(1))
    return DistilledDataset(
        images=images,
        labels=torch.arange(CLASSES).repeat_interleave(2),
        class_names=tuple("abc"),
        preprocessing=Normalization([0.5], [0.25]),
        recipe={"protocol": "dd", "inner": inner or {"optimizer": "sgd", "momentum": 0.0}},
        tensors=tensors,
    )


def _train(network, distilled):
    draws = torch.Generator()
    find_protocol("dd").train(network, distilled.prepared, distilled.labels, distilled, None, draws)
    return network


@pytest.mark.parametrize("optimizer", [SGD(), SGD(0.9), Adam()], ids=["sgd", "momentum", "adam"])
def test_repeats_the_inner_steps(optimizer):
    name, momentum = ("adam", None) if isinstance(optimizer, Adam) else ("sgd", optimizer.momentum)
    sizes = SIZES / 100 if name == "adam" else SIZES
    distilled = _distilled({"optimizer": name, "momentum": momentum}, step_sizes=sizes, order=ORDER)
    # Adam would make steps of the rounding noise that a bias before a normalization has for a gradient
    flat = FlatNetwork(_network(norm="none"))
    step = InnerStep(CrossEntropy(flat), optimizer)
    inputs = distilled.prepared, distilled.labels
    expected = unroll(step, flat.weights(), inputs, lambda x, t: tuple(tensor[ORDER[t]] for tensor in x), sizes)
    found = flat.weights(_train(_network(norm="none"), distilled))
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


def test_starts_from_the_weights_that_the_set_brings():
    weights = {f"initial_weights.{name}": p.detach() for name, p in _network(0).named_parameters()}
    brought = _train(_network(5), _distilled(step_sizes=SIZES, order=ORDER, **weights))
    own = _train(_network(0), _distilled(step_sizes=SIZES, order=ORDER))
    assert all(torch.equal(a, b) for a, b in zip(brought.parameters(), own.parameters(), strict=True))
    with pytest.raises(UserError, match="another network"):
        _train(_network(0, width=8), _distilled(step_sizes=SIZES, order=ORDER, **weights))


def test_a_set_without_steps_is_refused():
    with pytest.raises(UserError, match=r"evaluation\.protocol common"):
        _train(_network(), _distilled())


def test_random_real_images_are_trained_as_usual(monkeypatch):
    seen = []
    monkeypatch.setattr(Protocol, "train", lambda *arguments: seen.append((arguments[0].name, arguments[5])))
    distilled = _distilled(step_sizes=SIZES, order=ORDER)
    test_set = distilled.prepared, distilled.labels
    result = evaluate(distilled, lambda index: test_set, test_set, FACTORY, find_protocol("dd"), range(2), 0)
    assert seen == [("dd", None), ("dc", None)] * 2
    assert len(result.distilled) == 2


def test_epochs_have_no_meaning_for_it():
    with pytest.raises(UserError, match=r"leave evaluation\.epochs out"):
        find_protocol("dd", epochs=3)
