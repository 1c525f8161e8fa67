"""Damaged states of networks in checkpoints are refused before a step relies on them."""

import functools

import pytest
import torch

from lightning_dd.errors import UserError
from lightning_dd.networks import ConvNet
from lightning_dd.rng import generator
from lightning_dd.training.pool import NetworkPool
from lightning_dd.training.pretrained import PretrainedNetworks
from lightning_dd.training.queue import NetworkQueue
from lightning_dd.training.sources import SourceContext, TrainedNetworks

FACTORY = functools.partial(ConvNet, width=4, depth=2)


class _Data:
    train_labels = torch.arange(12) % 3

    def real_images(self, rows):
        return torch.randn(len(rows), 1, 8, 8, generator=generator(0, "data"))


def _source(kind, **options):
    source = kind(**options)
    source.setup(SourceContext(FACTORY, (1, 8, 8), 3, 0, data=_Data()))
    return source


def _pool():
    return _source(NetworkPool, size=2, max_age=4)


def _queue():
    return _source(NetworkQueue, start=2, steps=1, batch_size=4)


def _trained():
    return _source(TrainedNetworks, lifetime=3, epochs=1, on="real", real_images=8, momentum=0.9)


def _saved(make):
    """Return the state after one step, and a source that may load it."""
    source = make()
    source.at(0)
    if make is not _pool:
        source.update(0, None, None)
    return source.state_dict(), make()


POOL = {
    "a weight is missing": lambda state: state.pop("network.classifier.weight"),
    "a moment has another shape": lambda state: state.update({"exp_avg.classifier.bias": torch.zeros(2)}),
    "ages are floats": lambda state: state.update(ages=torch.zeros(2)),
    "an age below 0": lambda state: state["ages"].fill_(-1),
    "an age beyond the largest": lambda state: state["ages"].fill_(99),
    "a negative square": lambda state: state["exp_avg_sq.classifier.bias"].fill_(-1),
    "no tensor": lambda state: state.update(updates="x"),
    "one more": lambda state: state.update(x=torch.zeros(2)),
}
QUEUE = {
    "no members": lambda state: state.pop("members"),
    "fewer members": lambda state: state["members"].pop(),
    "a member that is none": lambda state: state["members"].append(3),
    "a member without weights": lambda state: state["members"][0].pop("state"),
    "a weight is missing": lambda state: state["members"][0]["state"].pop("classifier.weight"),
    "momentum of another network": lambda state: state["members"][0]["momentum"].update(x=torch.zeros(1)),
    "accuracies": lambda state: state["members"][0].update(accuracy=torch.zeros(3)),
    "made a text": lambda state: state.update(made="x"),
}
TRAINED = {
    "a weight is missing": lambda state: state.pop("classifier.weight"),
    "momentum of another shape": lambda state: state.update({"momentum of classifier.weight": torch.zeros(1)}),
    "momentum of nothing": lambda state: state.update({"momentum of x": torch.zeros(1)}),
    "weights are integers": lambda state: state.update({"classifier.bias": torch.zeros(3, dtype=torch.long)}),
}


@pytest.mark.parametrize(
    ("make", "damage"),
    [
        pytest.param(make, damage, id=f"{make.__name__.strip('_')}: {name}")
        for make, cases in ((_pool, POOL), (_queue, QUEUE), (_trained, TRAINED))
        for name, damage in cases.items()
    ],
)
def test_a_damaged_state_is_refused(make, damage):
    state, other = _saved(make)
    damage(state)
    with pytest.raises(UserError, match="does not fit this run, or is damaged: its networks are not those"):
        other.load_state_dict(state)


@pytest.mark.parametrize("make", [_pool, _queue, _trained])
def test_a_whole_state_is_taken_and_given_again_before_any_step(make):
    """A run that makes no step, but its missing evaluation, saves what it loaded."""
    state, other = _saved(make)
    assert other.has_state(1)
    other.load_state_dict(state)
    again = other.state_dict()
    assert again.keys() == state.keys()
    for name in ("classifier.weight", "network.classifier.weight"):
        if name in state:
            assert torch.equal(again[name], state[name])


def test_a_network_at_the_end_of_its_life_is_not_missing():
    source = _trained()
    assert [source.has_state(iteration) for iteration in range(4)] == [False, True, True, False]


def test_pretrained_networks_need_their_digest():
    with pytest.raises(UserError, match="at their digest"):
        PretrainedNetworks().load_state_dict({"digest": 5})
