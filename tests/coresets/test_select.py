"""Rules applied class by class, and the network in whose features they choose."""

import itertools
from functools import partial

import pytest
import torch

from lightning_dd.coresets import herding, random_real, select
from lightning_dd.errors import UserError
from lightning_dd.networks import ConvNet
from lightning_dd.training import recipes
from lightning_dd.training.data import TrainingSet
from lightning_dd.training.features import train_features

RULES = ("herding", "k_center", "forgetting", "k_means")
NETWORK = partial(ConvNet, width=8, depth=2)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_DD_CACHE", str(tmp_path / "cache"))


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _data(number=60, preprocessing="plain"):
    """Three separable classes, class by class in turn."""
    labels = torch.arange(number) % 3
    images = 0.3 * torch.rand(number, 1, 8, 8, generator=_generator())
    images += 0.5 * (torch.rand(3, 1, 8, 8, generator=_generator(1)) > 0.5)[labels]
    return TrainingSet(images, labels, 3, lambda pixels: pixels - 0.4, preprocessing)


def _train(data=None, epochs=4, seed=0, network=NETWORK, **options):
    return train_features(data or _data(), network, epochs, seed, CPU, **options)


def _select(rule, ipc=2, labels=None, **options):
    data = _data()
    return select(rule, data.labels if labels is None else labels, 3, ipc, _generator(), _train, **options)


@pytest.mark.parametrize("rule", RULES)
def test_class_major_without_repeats(rule):
    indices = _select(rule, ipc=4)
    assert _data().labels[indices].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert len(set(indices.tolist())) == 12
    assert torch.equal(indices, _select(rule, ipc=4))


def test_random_is_random_real_and_trains_nothing():
    chosen = select("random", _data().labels, 3, 2, _generator(), None)
    assert torch.equal(chosen, random_real(_data().labels, 3, 2, _generator()))


def test_herding_sees_the_features_of_each_class():
    trained, data = _train(), _data()
    with torch.no_grad():
        features = trained.network.features(data.images - 0.4)
    expected = []
    for label in range(3):
        rows = (data.labels == label).nonzero().flatten()
        expected += rows[herding(features[rows], 3)].tolist()
    assert _select("herding", ipc=3).tolist() == expected


def test_forgetting_takes_those_with_the_most_events():
    trained, data = _train(), _data()
    history = torch.rand(6, 60, generator=_generator(3)) < 0.6
    trained.history = history
    chosen = select("forgetting", data.labels, 3, 2, _generator(), lambda: trained)
    events = [sum(a and not b for a, b in itertools.pairwise(h)) if any(h) else 6 for h in history.T.tolist()]
    for label in range(3):
        rows = sorted(range(label, 60, 3), key=lambda row: -events[row])  # sorting keeps the order of equals
        assert chosen[2 * label : 2 * label + 2].tolist() == rows[:2]


@pytest.mark.parametrize("rule", RULES)
def test_short_classes(rule):
    labels = _data().labels.clone()
    labels[labels == 2] = 1
    labels[:3] = 2
    with pytest.raises(UserError, match='Class "owl" has only 3 training images'):
        _select(rule, ipc=4, labels=labels, class_names=["cat", "dog", "owl"])
    indices = _select(rule, ipc=5, labels=labels, repeat=True)
    owls = indices[10:].tolist()
    assert sorted(owls[:3]) == [0, 1, 2]
    assert owls[3:] == owls[:2]


def test_the_network_learns_and_its_history_says_so():
    trained = _train(epochs=8)
    assert trained.history.shape == (8, 60)
    assert trained.history.dtype == torch.bool
    assert trained.history[-1].float().mean() > max(0.9, trained.history[0].float().mean())
    assert not trained.network.training
    assert trained.of(torch.arange(7)).shape == (7, 8 * 2 * 2)


def test_history_is_in_the_order_of_the_images():
    # labels of one image in ten are wrong: the network is right about the others
    data = _data()
    labels = data.labels.clone()
    labels[::10] = (labels[::10] + 1) % 3
    trained = _train(TrainingSet(data.images, labels, 3, data.preprocess, "plain"), epochs=8)
    wrong = torch.zeros(60, dtype=torch.bool)
    wrong[::10] = True
    assert torch.equal(trained.history[-1], ~wrong)


def test_trained_once_for_the_same_images(monkeypatch):
    first = _train()
    monkeypatch.setattr(recipes, "train_plain", None)  # must not be called again
    again = _train()
    assert torch.equal(again.history, first.history)
    assert torch.equal(again.of(torch.arange(60)), first.of(torch.arange(60)))


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 3},
        {"seed": 1},
        {"network": partial(ConvNet, width=4, depth=2)},
        {"data": _data(preprocessing="other")},
        {"data": _data(57)},
        {"cache": False},
    ],
)
def test_trained_anew_for_anything_else(change, monkeypatch):
    _train()
    called, learn = [], recipes.train_plain
    monkeypatch.setattr(recipes, "train_plain", lambda *args: called.append(1) or learn(*args))
    _train(**change)
    assert called == [1]


def test_draws_are_keyed():
    state = torch.get_rng_state()
    first, again, other = (_train(seed=seed, cache=False).of(torch.arange(5)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_mistakes():
    with pytest.raises(UserError, match="feature_epochs must be at least 1, got 0"):
        _train(epochs=0)
    with pytest.raises(UserError, match="network with features is needed, and Sequential has none"):
        _train(network=lambda shape, classes: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)))
