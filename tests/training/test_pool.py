"""A pool of networks: ages, training against plain Adam, and what a checkpoint brings back."""

from functools import partial

import pytest
import torch

from lightning_dd.artifact.codecs import Pixels
from lightning_dd.artifact.labels import Labels
from lightning_dd.artifact.synthetic import SyntheticSet
from lightning_dd.networks import FRePoNet, build
from lightning_dd.rng import generator
from lightning_dd.training.pool import NetworkPool
from lightning_dd.training.sources import SourceContext

SHAPE = (1, 8, 8)
FACTORY = partial(FRePoNet, width=4, depth=2)
IMAGES = torch.randn(6, *SHAPE, generator=generator(0, "test"))


def _pool(**options):
    pool = NetworkPool(**{"size": 3, "max_age": 4, **options})
    pool.setup(SourceContext(FACTORY, SHAPE, 3, 5, loss=lambda logits, targets: logits.square().mean()))
    return pool


def _synthetic():
    codec = Pixels(3, 2, SHAPE)
    codec.start(IMAGES)
    return SyntheticSet(codec, Labels(torch.arange(3).repeat_interleave(2)))


def _loss(network):
    return network(IMAGES).square().mean()


def _advance(pool, iterations):
    for iteration in iterations:
        pool.at(iteration)
        pool.update(iteration, _synthetic(), None)


def _state(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_ages_are_staggered():
    pool = _pool(size=4, max_age=100)
    pool.at(0)
    assert pool.state_dict()["ages"].tolist() == [0, 25, 50, 75]


def test_members_differ():
    pool = _pool()
    pool.at(0)
    weights = pool.state_dict()["network.classifier.weight"]
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])


def test_every_member_is_drawn():
    pool = _pool()
    drawn = [pool._member(iteration) for iteration in range(300)]
    assert all(70 < drawn.count(member) < 130 for member in range(3))


def test_a_member_is_trained_as_by_plain_adam():
    pool = _pool(size=1, max_age=50)
    network = build(FACTORY, SHAPE, 3, generator(5, "pool/start", 0))
    optimizer = torch.optim.Adam(network.parameters(), 3e-4)
    for iteration in range(4):
        assert _equal(_state(pool.at(iteration)), _state(network))
        pool.update(iteration, _synthetic(), None)
        network.train()
        optimizer.zero_grad()
        _loss(network).backward()
        optimizer.step()
    assert _equal(_state(pool.at(4)), _state(network))


def test_a_member_starts_again_when_it_is_older_than_the_largest_age():
    pool = _pool(size=1, max_age=2)
    ages = []
    for iteration in range(8):
        _advance(pool, [iteration])
        ages.append(pool.state_dict()["ages"].item())
    assert ages == [1, 2, 3, 0, 1, 2, 3, 0]
    restarted = build(FACTORY, SHAPE, 3, generator(5, "pool/restart", 7))
    assert _equal(_state(pool.at(8)), _state(restarted))
    assert not any(pool.state_dict()[f"exp_avg.{name}"].any() for name, _ in restarted.named_parameters())
    assert pool.state_dict()["updates"].item() == 0


def test_the_objective_sees_frozen_weights_and_running_statistics():
    network = _pool().at(0)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    halves = torch.cat([network.features(IMAGES[:2]), network.features(IMAGES[2:])])
    torch.testing.assert_close(halves, network.features(IMAGES))  # so chunks change nothing


def test_training_moves_the_running_statistics_of_its_member_alone():
    pool = _pool()
    pool.at(0)
    before = {name: tensor.clone() for name, tensor in pool.state_dict().items()}
    pool.update(0, _synthetic(), None)
    member = pool._member(0)
    for name, tensor in pool.state_dict().items():
        changed = (tensor != before[name]).flatten(1).any(1) if tensor.ndim > 1 else tensor != before[name]
        assert changed.tolist() == [row == member for row in range(3)], name


@pytest.mark.parametrize("stop", [1, 4, 9])
def test_resumes_bit_for_bit(stop):
    whole, first, second = _pool(), _pool(), _pool()
    _advance(whole, range(14))
    _advance(first, range(stop))
    saved = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    _advance(first, range(stop, 14))  # what was saved is not what goes on
    second.load_state_dict(saved)
    _advance(second, range(stop, 14))
    assert _equal(second.state_dict(), whole.state_dict())
    assert _equal(first.state_dict(), whole.state_dict())


def test_state_is_tensors_only_and_empty_before_the_first_use():
    pool = _pool()
    assert pool.state_dict() == {}
    pool.at(0)
    assert all(type(tensor) is torch.Tensor and not tensor.requires_grad for tensor in pool.state_dict().values())


def test_one_object_serves_all_members():
    pool = _pool()
    first = pool.at(0)
    pointers = [parameter.data_ptr() for parameter in first.parameters()]
    _advance(pool, range(10))
    assert pool.at(10) is first
    assert [parameter.data_ptr() for parameter in first.parameters()] == pointers


def test_global_generator_is_untouched():
    state = torch.get_rng_state()
    _advance(_pool(), range(6))
    assert torch.equal(torch.get_rng_state(), state)


def test_images_get_no_gradient_from_training():
    pool, synthetic = _pool(), _synthetic()
    pool.at(0)
    pool.update(0, synthetic, None)
    assert synthetic.codec.images.grad is None
