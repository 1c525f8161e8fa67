"""Training under a protocol, against plain loops."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lightning_dd.augmentation import DSA
from lightning_dd.augmentation.dc import DCAugmentation
from lightning_dd.errors import UserError
from lightning_dd.evaluation import find_protocol
from lightning_dd.networks import ConvNet, build
from lightning_dd.training.loop import accuracy

SHORT = replace(find_protocol("dc", epochs=4), batch_size=4)  # five epochs, the drop after index 3


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _data(number=10):
    """Images that carry their index in the first pixel."""
    images = torch.randn(number, 1, 2, 3, generator=_generator(1))
    images[:, 0, 0, 0] = torch.arange(number)
    return images, torch.arange(number) % 3


def _linear(seed=2):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(6, 3))


class _Recorder(nn.Module):
    """Remembers the index of each image that it is shown."""

    def __init__(self):
        super().__init__()
        self.inner = _linear()
        self.batches = []

    def forward(self, images):
        assert self.training
        self.batches.append(images[:, 0, 0, 0].int().tolist())
        return self.inner(images)


def _train(protocol=SHORT, network=None, data=None, augment=None, seed=0):
    network, (images, labels) = network or _linear(), data or _data()
    protocol.train(network, images, labels, None, augment, _generator(seed))
    return network


def _reference(protocol, images, labels, batches_by_epoch):
    """SGD with momentum and weight decay, written out; `v` starts again at the drop."""
    network = _linear()
    weights = list(network.parameters())
    rate, velocities = 0.01, [0.0 for _ in weights]
    for epoch, batches in enumerate(batches_by_epoch):
        for rows in batches:
            loss = F.cross_entropy(network(images[rows]), labels[rows])
            for index, (weight, gradient) in enumerate(zip(weights, torch.autograd.grad(loss, weights), strict=True)):
                velocities[index] = 0.9 * velocities[index] + gradient + 5e-4 * weight.detach()
                weight.data -= rate * velocities[index]
        if epoch == protocol.drop_after:
            rate, velocities = 0.001, [0.0 for _ in weights]
    return network


def _by_epoch(batches, number):
    epochs, count = [[]], 0
    for batch in batches:
        if count == number:
            epochs.append([])
            count = 0
        epochs[-1].append(batch)
        count += len(batch)
    return epochs


def test_batches_cover_each_epoch_in_another_order():
    recorder = _Recorder()
    _train(network=recorder)
    epochs = _by_epoch(recorder.batches, 10)
    assert len(epochs) == SHORT.total_epochs == 5
    assert [[len(batch) for batch in epoch] for epoch in epochs] == [[4, 4, 2]] * 5  # the last one is kept
    orders = [[row for batch in epoch for row in batch] for epoch in epochs]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len({tuple(order) for order in orders}) == 5


@pytest.mark.parametrize("soft", [False, True])
def test_equals_a_plain_loop(soft):
    images, labels = _data()
    if soft:
        labels = torch.rand(10, 3, generator=_generator(5)).softmax(1)
    recorder = _Recorder()
    _train(network=recorder, data=(images, labels))
    expected = _reference(SHORT, images, labels, _by_epoch(recorder.batches, 10))
    start = _linear()
    for ours, theirs, first in zip(recorder.inner.parameters(), expected.parameters(), start.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
        assert not torch.allclose(ours, first, rtol=1e-2, atol=1e-3)


def test_learning_rate_of_each_step(monkeypatch):
    rates, empty = [], []
    step = torch.optim.SGD.step

    def recording(self, *arguments):
        group = self.param_groups[0]
        rates.append(group["lr"])
        empty.append(not self.state)
        assert (group["momentum"], group["weight_decay"], group["nesterov"]) == (0.9, 5e-4, False)
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", recording)
    _train(replace(find_protocol("dc", epochs=10), batch_size=4))
    # 11 epochs of 3 steps; epochs 0 to 6 at 0.01
    assert rates == pytest.approx([0.01] * 21 + [0.001] * 12)
    assert [index for index, is_empty in enumerate(empty) if is_empty] == [0, 21]  # momentum starts again


def test_published_number_of_steps(monkeypatch):
    rates = []
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self: rates.append(self.param_groups[0]["lr"]))
    _train(find_protocol("dc"))
    assert rates == pytest.approx([0.01] * 152 + [0.001] * 149)


@pytest.mark.parametrize("augment", [None, DSA("crop_flip_color"), DCAugmentation("crop_noise")])
def test_depends_on_the_generator_alone(augment):
    states = torch.get_rng_state()
    first = _train(augment=augment)
    assert torch.equal(torch.get_rng_state(), states)
    torch.rand(7)
    second, other = _train(augment=augment), _train(augment=augment, seed=1)
    for a, b, c in zip(first.parameters(), second.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_augmentation_gets_each_batch_and_the_generator():
    seen = []

    def augment(images, generator):
        assert isinstance(generator, torch.Generator)
        seen.append(len(images))
        return images.flip(0) * 0  # the network sees nothing of the images

    network = _train(augment=augment)
    assert seen == [4, 4, 2] * 5
    decay = _linear()[1].weight / network[1].weight  # no gradient but the weight decay's, alike for all
    torch.testing.assert_close(decay, decay[0, 0].expand_as(decay))


def test_the_set_itself_is_left_alone():
    images, labels = _data()
    before = images.clone()
    network = _linear().eval()
    _train(network=network, data=(images, labels))
    assert network.training
    assert torch.equal(images, before)


def test_which_augmentation():
    assert find_protocol("dc").augment("crop_flip") is None
    names = "color_crop_cutout_scale_rotate"
    batch = torch.randn(16, 1, 8, 8, generator=_generator())
    ours = find_protocol("dm").augment(names)
    assert torch.equal(ours(batch, _generator(3)), DSA(names)(batch, _generator(3)))
    everything = find_protocol("dm").augment(None)
    all_names = DSA("color_crop_cutout_flip_scale_rotate")
    assert torch.equal(everything(batch, _generator(3)), all_names(batch, _generator(3)))
    digits = find_protocol("dm", data="svhn").augment(None)  # a digit in a mirror is another
    assert torch.equal(digits(batch, _generator(3)), DSA(names)(batch, _generator(3)))
    theirs = find_protocol("dm", data="svhn").augment("color_crop_cutout_flip_scale_rotate")
    assert torch.equal(theirs(batch, _generator(3)), all_names(batch, _generator(3)))  # as they were distilled
    older = find_protocol("dc", data="mnist").augment(names)
    assert isinstance(older, DCAugmentation)
    assert older.names == ["crop", "scale", "rotate"]
    with pytest.raises(UserError, match="colour"):
        find_protocol("dm").augment("colour")


def test_learns_a_separable_set():
    labels = torch.arange(4).repeat(8)
    images = 0.5 * torch.randn(32, 1, 8, 8, generator=_generator())
    images += 2 * torch.randn(4, 1, 8, 8, generator=_generator(1))[labels]
    network = build(lambda shape, classes: ConvNet(shape, classes, width=8, depth=2), (1, 8, 8), 4, _generator())
    before = accuracy(network, images, labels)
    _train(find_protocol("dc", epochs=30), network, (images[:8], labels[:8]))
    after = accuracy(network, images[8:], labels[8:])
    assert after > 90 > before


def test_frepo_equals_a_plain_loop():
    images, _ = _data(6)
    targets = torch.randn(6, 3, generator=_generator(7))
    protocol = replace(find_protocol("frepo", epochs=5), batch_size=4)
    network, expected = _linear(), _linear()
    protocol.train(network, images, targets, None, None, _generator())
    optimizer = torch.optim.Adam(expected.parameters())
    # ten steps: the first five warm up; always the same two batches
    factors = [0, 0.2, 0.4, 0.6, 0.8, *(0.01 + 0.99 * (1 + math.cos(math.pi * step / 5)) / 2 for step in range(5))]
    for step, factor in enumerate(factors):
        rows = [0, 1, 2, 3] if step % 2 == 0 else [4, 5]
        optimizer.param_groups[0]["lr"] = 3e-4 * factor
        optimizer.zero_grad()
        (0.5 * (expected(images[rows]) - targets[rows]).square().sum() / len(rows)).backward()
        optimizer.step()
    for ours, theirs in zip(network.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)
