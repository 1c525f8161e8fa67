"""The methods after DM: their objectives against the formulas, and their networks."""

import functools

import pytest
import torch
from torch.nn import functional as F

from lightning_dd.artifact.codecs import Pixels, Tiles
from lightning_dd.errors import OptionError
from lightning_dd.losses import attention_map
from lightning_dd.methods import DANCE, DSDM, IDM, NCFM, DataDAM
from lightning_dd.networks import ConvNet, build
from lightning_dd.rng import generator
from lightning_dd.training.queue import NetworkQueue
from lightning_dd.training.sources import RandomNetworks
from tests.methods.steps import CLASSES, SHAPE, SMALL, objective, real_batch, small


class _Trained(RandomNetworks):
    """A network for matching, and one with last weights."""

    def trained(self, iteration):
        return build(SMALL, SHAPE, CLASSES, generator(7, "trained", iteration)).double()


def _module(kind, codec=Tiles, networks=None, **options):
    return small(kind, codec=codec, networks=networks, **options)


def _network():
    return build(SMALL, SHAPE, CLASSES, generator(7, "network", 0)).double()


def _pairs(module):
    """Return real and synthetic images of each class, augmented."""
    batch = real_batch()
    draw = module.draw_augmentation(batch.classes)
    images = module.synthetic.of_classes(batch.classes)
    return zip(module.augment(draw, batch.images), module.augment(draw, images), strict=True)


def _check(module, naive):
    """Compare values and gradients; and shares of classes, as several processes have them, with the whole."""
    network = _network().requires_grad_(False)
    module.networks.at = lambda iteration: network
    stored = module.synthetic.codec.images
    loss = objective(module, real_batch())
    torch.testing.assert_close(loss, naive(network))
    (ours,), (theirs,) = torch.autograd.grad(loss, stored), torch.autograd.grad(naive(network), stored)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(sum(objective(module, real_batch(part)) for part in ([0, 2], [1])), loss)
    assert objective(module, real_batch([])).item() == 0


@pytest.mark.parametrize("codec", [Pixels, Tiles])
def test_dance_matches_means_and_calibrates(codec):
    module = _module(DANCE, codec, _Trained(), calibration=0.5)

    def naive(network):
        trained = module.networks.trained(0)
        total = 0
        for label, (real, synthetic) in enumerate(_pairs(module)):
            means = network.features(real).mean(0), network.features(synthetic).mean(0)
            total = total + (means[0] - means[1]).square().sum()
            total = total + 0.5 * F.cross_entropy(trained(synthetic), torch.full((len(synthetic),), label))
        return total

    _check(module, naive)


def test_ncfm_matches_characteristic_functions():
    module = _module(NCFM, networks=_Trained(), calibration=0.0, frequencies=7)

    def naive(network):
        t = torch.randn(7, network.features(real_batch().images[0]).shape[1], generator=generator(7, "frequencies", 0))
        total = 0
        for pair in _pairs(module):
            phi = [torch.exp(1j * (F.normalize(network.features(part), dim=1) @ t.double().T)).mean(0) for part in pair]
            total = total + 300 * ((phi[0] - phi[1]).abs().square() / 2).sqrt().mean()
        return total

    _check(module, naive)


def test_dsdm_matches_covariances_and_its_own_past():
    module = _module(DSDM, networks=RandomNetworks(), history_from=1, codec=Pixels)
    module._trainer = type("Trainer", (), {"world_size": 1})()
    network = _network().requires_grad_(False)
    module.networks.at = lambda iteration: network
    count = network.features(real_batch().images[0]).shape[1]

    def naive(past):
        total, means = 0, []
        for label, pair in enumerate(_pairs(module)):
            real, synthetic = (network.features(part) for part in pair)
            covariances = [torch.cov(part.T, correction=0) for part in (real, synthetic)]
            means.append(synthetic.mean(0))
            total = total + (real.mean(0) - means[-1]).square().sum()
            total = total + 50 / count * (covariances[0] - covariances[1]).square().sum()
            if past is not None:
                total = total + 0.2 / count * (past[label] - means[-1]).square().sum()
        return total, torch.stack(means).detach()

    expected, first = naive(None)
    torch.testing.assert_close(objective(module, real_batch()), expected)
    module.iteration = 1
    with torch.no_grad():
        module.synthetic.codec.images.mul_(1.5)
    expected, second = naive(first)
    torch.testing.assert_close(objective(module, real_batch()), expected)
    torch.testing.assert_close(module._history.double(), 0.99 * first + 0.01 * second, rtol=1e-5, atol=1e-6)


def test_datadam_matches_attention():
    module = _module(DataDAM, features=0.5, power=2.0)

    def naive(network):
        total = 0
        for pair in _pairs(module):
            first = [network.blocks[2](network.blocks[1](network.blocks[0](part))) for part in pair]  # the first ReLU
            maps = [attention_map(part, 2).mean(0) for part in first]
            means = [network.features(part).mean(0) for part in pair]
            total = total + (maps[0] - maps[1]).square().sum() + 0.5 * (means[0] - means[1]).square().sum()
        return 100 * total

    _check(module, naive)


def test_datadam_needs_layers_of_its_own():
    module = _module(DataDAM, network=functools.partial(ConvNet, width=4, depth=1))
    with pytest.raises(OptionError, match="fewer than two ReLU layers"):
        objective(module, real_batch())


def test_idm_adds_the_cross_entropy_by_the_accuracy_of_its_network():
    module = _module(IDM)
    module.networks.accuracy = torch.tensor(0.25)

    def naive(network):
        total, logits = 0, []
        for real, synthetic in _pairs(module):
            means = network.features(real).mean(0), network.features(synthetic).mean(0)
            total = total + (means[0] - means[1]).square().sum()
            logits.append(network(synthetic))
        labels = torch.arange(CLASSES).repeat_interleave(len(logits[0]))
        return total + 0.5 * 0.25 * F.cross_entropy(torch.cat(logits), labels)

    _check(module, naive)
    with pytest.raises(OptionError, match="must be a NetworkQueue"):
        _module(IDM, networks=RandomNetworks())


class _Data:
    """Real images whose class is their brightness."""

    train_labels = torch.arange(60) % CLASSES

    def real_images(self, rows):
        noise = torch.randn(len(rows), *SHAPE, generator=generator(5, "data"))
        return self.train_labels[rows].view(-1, 1, 1, 1) + 0.1 * noise


def _queue(**options):
    from lightning_dd.training.sources import SourceContext

    queue = NetworkQueue(batch_size=20, **options)
    network = functools.partial(ConvNet, width=4, depth=2, norm="none")
    queue.setup(SourceContext(network, SHAPE, CLASSES, seed=1, data=_Data()))
    return queue


def test_the_queue_learns_and_grows_and_forgets_the_oldest():
    queue = _queue(start=2, every=2, largest=3, steps=20, lr=0.05)
    for iteration in range(8):
        queue.at(iteration)
        queue.update(iteration, None, None)
    assert len(queue._members) == 3
    assert queue.state_dict()["made"] == 6
    best = max(member["accuracy"].item() for member in queue._members)
    assert best > 0.5  # of three classes


def test_a_queue_goes_on_where_it_was_saved():
    one, other = _queue(start=2, every=2), _queue(start=2, every=2)
    for iteration in range(3):
        one.at(iteration)
        one.update(iteration, None, None)
    other.load_state_dict(one.state_dict())
    for queue in (one, other):
        queue.at(3)
        queue.update(3, None, None)
    for a, b in zip(one.at(4).parameters(), other.at(4).parameters(), strict=True):
        assert torch.equal(a, b)
