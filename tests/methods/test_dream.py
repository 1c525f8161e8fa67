"""DREAM's choice of real images, and the networks of Acc-DD."""

import functools
from types import SimpleNamespace

import torch

from lightning_dd.coresets import k_means
from lightning_dd.data.batches import RealBatches
from lightning_dd.methods import DREAM
from lightning_dd.networks import ConvNet, build
from lightning_dd.rng import generator
from lightning_dd.training.early import perturb

SHAPE, CLASSES = (1, 8, 8), 3
LABELS = torch.arange(40) % CLASSES  # 14, 13 and 13 images
NETWORK = functools.partial(ConvNet, width=4, depth=2)


class _Data(SimpleNamespace):
    train_images = torch.randn(len(LABELS), *SHAPE, generator=generator(2, "data"))
    train_labels, num_classes, name = LABELS, CLASSES, "some"
    preprocessing = SimpleNamespace(describe=dict)

    def preprocessing_on(self, device):
        return lambda pixels: pixels


def _module():
    facts = {"num_classes": CLASSES, "image_shape": SHAPE, "seed": 7}
    module = DREAM(1, network=NETWORK, real_per_class=4, every=3, **facts)
    module._trainer = SimpleNamespace(datamodule=_Data())
    return module


def test_images_nearest_to_centers_are_chosen_and_no_others_sampled():
    module, network = _module(), build(NETWORK, SHAPE, CLASSES, generator(7, "network"))
    module._choose(network, 0)
    draws = generator(7, "representatives", 0)
    with torch.no_grad():
        for label in range(CLASSES):
            members = (_Data.train_labels == label).nonzero().flatten()
            nearest = k_means(network.features(_Data.train_images[members]), 4, draws)
            assert torch.equal(module.chosen(1)[label], members[nearest])
    batches = RealBatches(LABELS, CLASSES, module.sampling, 7, lambda: 0)
    one, two = batches.draw(0).indices, batches.draw(1).indices
    assert not torch.equal(one, two)
    for indices in (one, two):
        assert torch.equal(indices.sort(1).values, module.chosen(0).sort(1).values)
    shares = [RealBatches(LABELS, CLASSES, module.sampling, 7, lambda: 0, rank, 2).draw(0).indices for rank in (0, 1)]
    assert torch.equal(torch.stack([shares[0][0], shares[1][0], shares[0][1]]), one)


def test_what_is_chosen_holds_from_its_iteration_on():
    module, network = _module(), build(NETWORK, SHAPE, CLASSES, generator(7, "network"))
    for first in (0, 3, 6):
        module._choose(network, first)
    assert module.chosen(5) is module._chosen[3]
    assert module.chosen(6) is module._chosen[6]
    assert sorted(module._chosen) == [3, 6]


def test_small_classes_are_chosen_more_than_once():
    module = _module()
    module.real_per_class = 14
    module._choose(build(NETWORK, SHAPE, CLASSES, generator(7, "network")), 0)
    assert [len(rows.unique()) for rows in module.chosen(0)] == [14, 13, 13]


def test_a_perturbation_moves_every_filter_by_shares_of_its_norm():
    network, before = (build(NETWORK, SHAPE, CLASSES, generator(7, "network")) for _ in range(2))
    perturb(network, 0.09, generator(1, "test"))
    moved = []
    for weight, start in zip(network.parameters(), before.parameters(), strict=True):
        if weight.ndim == 1:
            assert torch.equal(weight, start)
        else:
            moved += ((weight - start).flatten(1).norm(dim=1) / start.flatten(1).norm(dim=1)).tolist()
    assert 0 < min(moved) < max(moved) <= 0.18 + 1e-6
    small = build(NETWORK, SHAPE, CLASSES, generator(7, "network"))
    perturb(small, 0.009, generator(1, "test"))
    for weight, ours, start in zip(network.parameters(), small.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(weight - start, 10 * (ours - start), atol=1e-5, rtol=1e-2)
