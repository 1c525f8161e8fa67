"""The training loop and the accuracy, against plain loops."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lightning_dd.training.loop import accuracy, mini_batches, shuffled, train_network


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _data(number=10):
    return torch.randn(number, 1, 2, 3, generator=_generator(1)), torch.arange(number) % 3


def _linear():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return nn.Sequential(nn.Flatten(), nn.Linear(6, 3))


def test_the_loop_is_sgd_written_out():
    images, labels = _data()
    network, expected = _linear(), _linear()
    rows, rates = [torch.tensor([0, 3]), torch.tensor([5, 1, 2])], [0.5, 0.1]

    def schedule(step, optimizer):
        optimizer.param_groups[0]["lr"] = rates[step]

    optimizer = torch.optim.SGD(network.parameters(), 0.0)
    train_network(network, mini_batches(images, labels, rows), F.cross_entropy, optimizer, schedule)
    for chosen, rate in zip(rows, rates, strict=True):
        loss = F.cross_entropy(expected(images[chosen]), labels[chosen])
        for weight, gradient in zip(
            expected.parameters(), torch.autograd.grad(loss, list(expected.parameters())), strict=True
        ):
            weight.data -= rate * gradient
    for ours, theirs in zip(network.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_each_epoch_has_its_order_and_each_batch_its_draw():
    images, labels = torch.arange(10.0).view(10, 1, 1, 1), torch.arange(10)
    draws = []

    def augment(batch, generator):
        draws.append(torch.rand((), generator=generator).item())
        return batch + 100

    rows = shuffled(10, 4, 2, _generator())
    batches = list(mini_batches(images, labels, rows, augment, _generator(1)))
    assert [len(part) for part, _ in batches] == [4, 4, 2] * 2  # the last one is kept
    assert all(torch.equal(part.flatten() - 100, truth.float()) for part, truth in batches)
    first, second = (torch.cat([truth for _, truth in batches[at : at + 3]]).tolist() for at in (0, 3))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert len(set(draws)) == 6


@pytest.mark.parametrize("number", [1, 7, 64, 130])
@pytest.mark.parametrize("chunk", [None, 1, 3, 64, 1000])
def test_accuracy_by_counting(number, chunk):
    network = _linear()
    images, labels = torch.randn(number, 1, 2, 3, generator=_generator(4)), torch.arange(number) % 3
    right = 0
    for image, label in zip(images, labels.tolist(), strict=True):
        logits = network(image[None])[0].tolist()
        right += logits.index(max(logits)) == label
    assert accuracy(network, images, labels, chunk) == pytest.approx(100 * right / number, abs=1e-4)


def test_chunks_of_the_accuracy():
    sizes = []
    network = _linear()
    network.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    accuracy(network, *_data(10), chunk=4)
    assert sizes == [4, 4, 2]


def test_accuracy_needs_no_gradient_and_changes_nothing():
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.9), *_linear())
    seen = []
    network.register_forward_hook(lambda module, inputs, output: seen.append((module.training, output.requires_grad)))
    before = copy.deepcopy(network.state_dict())
    first = accuracy(network.train(), *_data(), chunk=4)
    assert seen == [(False, False)] * 3
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert accuracy(network, *_data()) == first


def test_accuracy_with_one_class():
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 1))
    assert accuracy(network, _data()[0], torch.zeros(10, dtype=torch.int64)) == 100
