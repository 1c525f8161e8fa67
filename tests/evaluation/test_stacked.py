"""Stacked networks are the single ones: the same updates, the same accuracies."""

import pytest
import torch

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.preprocessing import Normalization
from lightning_dd.evaluation import evaluate, find_protocol
from lightning_dd.evaluation.stacked import Stack, accuracies_of, networks_at_once, train_stack
from lightning_dd.evaluation.training import accuracy_of, augmentation_of, train_network
from lightning_dd.networks import AlexNet, ConvNet, ResNet18, build

SHAPE, CLASSES = (2, 12, 10), 3


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _set(seed: int, count: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(count, *SHAPE, generator=_generator(seed)), torch.arange(count) % CLASSES


def _convnet(norm="instance"):
    return lambda shape, classes: ConvNet(shape, classes, width=4, depth=2, norm=norm)


def _networks(factory, count=3, dtype=torch.float64):
    return [build(factory, SHAPE, CLASSES, _generator(index)).to(dtype) for index in range(count)]


@pytest.mark.parametrize(
    "factory",
    [_convnet(), _convnet("none"), _convnet("batch"), AlexNet, ResNet18],
    ids=["instance", "none", "batch", "alexnet", "resnet"],
)
def test_a_stack_is_its_networks(factory):
    count = 2
    images = torch.stack([_set(seed, 4)[0] for seed in range(count)]).double()
    networks = _networks(factory, count)
    stack = Stack(networks)
    ours = stack.train()(images)
    theirs = torch.stack([network.train()(batch) for network, batch in zip(networks, images, strict=True)])
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    stack.eval()  # batch normalisation now uses what training left in the buffers
    theirs = torch.stack([network.eval()(images[0]) for network in networks])
    torch.testing.assert_close(stack(images[0]), theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("name", ["dm", "dc", "frepo"])
def test_training_together_is_training_alone(name, norm):
    """Two steps an epoch, over the drop of the learning rate, each network with its own set, order and augmentation."""
    protocol = find_protocol(name, epochs=3)
    object.__setattr__(protocol, "batch_size", 5)
    sets = [_set(seed) for seed in range(3)]
    if protocol.labels == "targets":
        sets = [(images, torch.nn.functional.one_hot(labels, CLASSES).double() - 0.3) for images, labels in sets]
    images, labels = [images.double() for images, _ in sets], [labels for _, labels in sets]
    augment = augmentation_of(protocol, "crop_scale_color")
    stack = train_stack(
        _networks(_convnet(norm)), images, labels, protocol, augment, [_generator(9 + k) for k in range(3)]
    )
    trained = [
        train_network(network, images[k], labels[k], protocol, augment, _generator(9 + k))
        for k, network in enumerate(_networks(_convnet(norm)))
    ]
    fresh = _networks(_convnet(norm))
    for k, network in enumerate(trained):
        for ours, theirs, start in zip(stack.stacked, network.parameters(), fresh[k].parameters(), strict=True):
            assert not torch.equal(theirs, start)
            torch.testing.assert_close(ours[k], theirs, rtol=1e-7, atol=1e-9)
    test_images, test_labels = _set(7, 50)
    expected = [accuracy_of(network, test_images.double(), test_labels) for network in trained]
    assert accuracies_of(stack, test_images.double(), test_labels, chunk=16) == pytest.approx(expected)


def test_networks_stay_as_they_are():
    networks = _networks(_convnet("batch"), 2)
    before = [{name: value.clone() for name, value in network.state_dict().items()} for network in networks]
    images, labels = _set(0)
    protocol = find_protocol("dc", epochs=1)
    train_stack(networks, [images.double()] * 2, [labels] * 2, protocol, None, [_generator(0), _generator(1)])
    for network, state in zip(networks, before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("protocol", ["dm", "kip"])
def test_evaluating_together_gives_the_same_numbers(protocol):
    images, labels = _set(0)
    distilled = DistilledDataset(images, labels, ("a", "b", "c"), Normalization([0.0] * 2, [1.0] * 2))
    arguments = distilled, lambda index: _set(100 + index), _set(50, 60), _convnet(), find_protocol(protocol, epochs=3)
    one_by_one = evaluate(*arguments, range(5), 0, at_once=1)
    together = evaluate(*arguments, range(5), 0, at_once=3)
    assert together.distilled == pytest.approx(one_by_one.distilled, abs=2)  # an image at the border may change sides
    assert together.random_real == pytest.approx(one_by_one.random_real, abs=2)


def test_how_many_at_once():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    dm, kip = find_protocol("dm"), find_protocol("kip")
    assert [networks_at_once(None, cpu, dm), networks_at_once(None, gpu, dm), networks_at_once(4, cpu, dm)] == [
        1,
        10,
        4,
    ]
    assert networks_at_once(4, gpu, kip) == 1  # each network has a learning rate of its own
