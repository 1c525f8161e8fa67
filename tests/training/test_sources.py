"""Networks of an iteration: what they depend on, and whose they are."""

import pytest
import torch
from torch import nn

from lightning_dd.errors import UserError
from lightning_dd.networks import ConvNet, build
from lightning_dd.rng import generator
from lightning_dd.training.sources import InitialWeights, RandomNetworks, SourceContext, TrainedNetworks

SHAPE = (1, 8, 8)


def _conv(image_shape, num_classes):
    return ConvNet(image_shape, num_classes, width=8, depth=2, norm="batch")


class _Foreign(nn.Sequential):
    """What comes from elsewhere, with batch normalization as torchvision's have it."""

    def __init__(self, image_shape, num_classes):
        super().__init__(nn.Conv2d(image_shape[0], 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, num_classes))


FACTORIES = pytest.mark.parametrize("factory", [_conv, _Foreign])


def _networks(factory, seed=0, trainable=False):
    networks = RandomNetworks()
    networks.setup(SourceContext(factory, SHAPE, 3, seed, trainable=trainable))
    return networks


def _state(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


@FACTORIES
def test_an_iteration_has_its_weights(factory):
    networks = _networks(factory)
    states = {iteration: _state(networks.at(iteration)) for iteration in (0, 1, 7)}
    assert _equal(_state(networks.at(1)), states[1])
    assert _equal(_state(networks.at(0)), states[0])
    weights = [name for name in states[0] if name.endswith("weight") and states[0][name].ndim > 1]
    assert len(weights) >= 2
    for name in weights:
        assert not torch.equal(states[0][name], states[1][name])
        assert not torch.equal(states[1][name], states[7][name])


@FACTORIES
def test_weights_do_not_depend_on_history(factory):
    """A resumed run starts at iteration 5; another got there with training on the way."""
    resumed = _state(_networks(factory).at(5))
    networks = _networks(factory, trainable=True)
    for iteration in range(5):
        network = networks.at(iteration)
        optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
        network(torch.randn(4, *SHAPE)).square().sum().backward()  # moves running statistics as well
        optimizer.step()
        torch.rand(3)
    assert _equal(_state(networks.at(5)), resumed)


@FACTORIES
def test_weights_are_those_of_the_key(factory):
    expected = build(factory, SHAPE, 3, generator(4, "network", 9))
    networks = _networks(factory, seed=4)
    networks.at(2)
    assert _equal(_state(networks.at(9)), _state(expected))


@FACTORIES
def test_seeds_differ(factory):
    assert not _equal(_state(_networks(factory, 0).at(0)), _state(_networks(factory, 1).at(0)))


@FACTORIES
def test_global_generator_is_untouched(factory):
    networks, state = _networks(factory), torch.get_rng_state()
    networks.at(0)
    networks.at(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_one_object_serves_all_iterations():
    networks = _networks(_conv)
    first = networks.at(0)
    storage = [parameter.data_ptr() for parameter in first.parameters()]
    assert networks.at(1) is first
    assert [parameter.data_ptr() for parameter in first.parameters()] == storage  # compiled code keeps pointing at it


@FACTORIES
@pytest.mark.parametrize("trainable", [False, True])
def test_frozen_or_trainable(factory, trainable):
    networks = _networks(factory, trainable=trainable)
    for iteration in (0, 1):
        network = networks.at(iteration)
        assert all(parameter.requires_grad is trainable for parameter in network.parameters())
        images = torch.randn(4, *SHAPE, requires_grad=True)
        network(images)[:, 0].sum().backward()
        assert images.grad.abs().sum() > 0  # images learn either way
        assert all((parameter.grad is not None) is trainable for parameter in network.parameters())


@FACTORIES
def test_train_mode_whatever_was_done_to_it(factory):
    networks = _networks(factory)
    for iteration in range(2):
        network = networks.at(iteration)
        assert all(module.training for module in network.modules())
        network.eval()


def test_processes_share_out_initial_weights():
    shares = []
    for rank in range(2):
        source = InitialWeights(per_step=3)
        source.setup(SourceContext(_conv, SHAPE, 3, 0, rank=rank, world_size=2))
        shares.append(source.at(5))
    whole = InitialWeights(per_step=3)
    whole.setup(SourceContext(_conv, SHAPE, 3, 0))
    assert [len(share) for share in shares] == [2, 1]
    for ours, theirs in zip([shares[0][0], shares[1][0], shares[0][1]], whole.at(5), strict=True):
        assert torch.equal(ours, theirs)


def test_the_same_weights_at_every_step_are_those_of_one_network():
    with pytest.raises(UserError, match="fixed means one network: leave per_step out"):
        InitialWeights(per_step=2, fixed=True)


class _Real:
    """A data module with two images."""

    train_labels = torch.tensor([0, 1])

    def real_images(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(rows), *SHAPE)


def test_networks_can_be_trained_on_real_images():
    networks = TrainedNetworks(lifetime=3, epochs=1, on="real")
    networks.setup(SourceContext(_conv, SHAPE, 3, 0, data=_Real()))
    before = _state(networks.at(0))
    networks.update(0, None, None)
    assert not _equal(_state(networks.at(1)), before)
