"""IDC: its objective against the plain form, its networks, its learning rate, the momentum of a step for each class."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from benchmarks.tasks.class_by_class import pairs
from lightning_dd.artifact.codecs import Pixels, Tiles
from lightning_dd.artifact.preprocessing import Normalization
from lightning_dd.augmentation.cutmix import cutmix
from lightning_dd.errors import OptionError
from lightning_dd.evaluation.protocols import find_protocol
from lightning_dd.methods import DREAM, IDC
from lightning_dd.networks import MLP, build
from lightning_dd.rng import generator
from lightning_dd.training.sources import SourceContext, TrainedNetworks
from tests.methods.steps import CLASSES, SHAPE, SMALL, assert_same, objective, real_batch, small
from tools.reference import idc


def _module(codec=Tiles, **options):
    return small(IDC, codec=codec, **options)


@pytest.mark.parametrize("codec", [Pixels, Tiles])
@pytest.mark.parametrize(("distance", "power"), [("conv_mse", 2), ("conv_l1", 1)])
@pytest.mark.parametrize("part", [128, 1])  # of two images, or of eight
def test_the_objective_is_the_plain_form(codec, distance, power, part):
    module = _module(codec, distance=distance, synthetic_per_class=part)
    network = build(SMALL, SHAPE, CLASSES, generator(7, "network", 0)).double()
    module.networks.at = lambda iteration: network
    loss, plain = objective(module, real_batch()), sum(idc.losses(network, pairs(module, real_batch()), power))
    assert_same(loss, plain, module)
    torch.testing.assert_close(sum(objective(module, real_batch(part)) for part in ([0, 2], [1], [])), loss)


@pytest.mark.parametrize(("distance", "power"), [("conv_mse", 2), ("conv_l1", 1)])
def test_dream_plus_matches_mean_features_besides(distance, power):
    module = small(DREAM, distance=distance, plus=True, codec=Tiles, init="noise")
    network = build(SMALL, SHAPE, CLASSES, generator(7, "network", 0)).double()
    module.networks.at = lambda iteration: network
    plain = sum(idc.losses(network, pairs(module, real_batch()), power))
    for real, ours in pairs(module, real_batch()):
        plain = plain + (network.features(real).mean(0) - network.features(ours).mean(0)).abs().pow(power).sum()
    assert_same(objective(module, real_batch()), plain, module)


def test_a_part_of_many_images_takes_part():
    module = _module(synthetic_per_class=3)  # of eight
    chosen = torch.rand(CLASSES, 8, generator=generator(7, "synthetic batch", 0)).topk(3).indices
    rows, classes = torch.arange(CLASSES)[:, None] * 8 + chosen, torch.arange(CLASSES)
    assert torch.equal(module.images_to_match(module.synthetic, classes), module.synthetic.images()[rows])
    module.iteration = 1
    assert not torch.equal(module.images_to_match(module.synthetic, classes), module.synthetic.images()[rows])


class _Data:
    """Real images, the same for a row whatever else is asked for."""

    train_labels = torch.arange(60) % CLASSES
    images = torch.randn(60, *SHAPE, generator=generator(5, "data"))

    def real_images(self, rows):
        return self.images[rows]


def _augment(images, draws):
    return images + torch.randn((), generator=draws)


def _networks(**options):
    networks = TrainedNetworks(3, 1, 0.1, 8, on="real", real_images=20, **options)
    networks.setup(SourceContext(SMALL, SHAPE, CLASSES, 7, augment=_augment, data=_Data()))
    return networks


def test_networks_learn_real_images_with_momentum_and_cutmix():
    networks = _networks(momentum=0.9, weight_decay=0.01, cutmix=0.5)
    expected = build(SMALL, SHAPE, CLASSES, generator(7, "network", 0)).requires_grad_(True)
    optimizer, mixed = torch.optim.SGD(expected.parameters(), 0.1, momentum=0.9, weight_decay=0.01), []
    for iteration in range(2):
        networks.at(iteration)
        networks.update(iteration, None, None)
        rows = torch.randperm(60, generator=generator(7, "inner training/real", iteration))[:20]
        draws = generator(7, "inner training", iteration)
        for part in torch.randperm(20, generator=draws).split(8):
            images, labels = _augment(_Data.images[rows[part]], draws), _Data.train_labels[rows[part]]
            mixed.append(torch.rand((), generator=draws) < 0.5)
            if mixed[-1]:
                images, labels = cutmix(images, labels, CLASSES, draws)
            optimizer.zero_grad()
            F.cross_entropy(expected(images), labels).backward()
            optimizer.step()
    assert any(mixed)
    assert not all(mixed)
    torch.testing.assert_close(list(networks.at(2).parameters()), list(expected.parameters()))


def test_a_network_begins_its_life_with_an_epoch_on_all_real_images():
    networks = _networks(first_epochs=1)
    expected = build(SMALL, SHAPE, CLASSES, generator(7, "network", 1)).requires_grad_(True)
    optimizer, draws = torch.optim.SGD(expected.parameters(), 0.1), generator(7, "first epochs", 1)
    for rows in torch.randperm(60, generator=draws).split(8):
        optimizer.zero_grad()
        F.cross_entropy(expected(_augment(_Data.images[rows], draws)), _Data.train_labels[rows]).backward()
        optimizer.step()
    torch.testing.assert_close(list(networks.at(3).parameters()), list(expected.parameters()))
    networks.update(3, None, None)
    resumed = _networks(first_epochs=1)
    resumed.load_state_dict(networks.state_dict())
    assert all(map(torch.equal, resumed.at(4).parameters(), networks.at(4).parameters()))


def test_momentum_goes_on_where_it_was_saved_and_ends_with_the_network():
    one, other = _networks(momentum=0.9), _networks(momentum=0.9)
    one.at(0)
    one.update(0, None, None)
    other.load_state_dict(one.state_dict())
    for networks in (one, other):
        networks.at(1)
        networks.update(1, None, None)
    assert len(other.state_dict()) == 2 * len(list(other.network.parameters()))
    for ours, theirs in zip(one.at(2).parameters(), other.at(2).parameters(), strict=True):
        assert torch.equal(ours, theirs)
    fresh = _networks(momentum=0.9)
    for networks in (one, fresh):
        networks.at(3)
        networks.update(3, None, None)
    for ours, theirs in zip(one.at(4).parameters(), fresh.at(4).parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_training_has_no_cutout_beside_cutmix():
    assert _module(augmentation="cutout+color_cutout_flip").networks.context.augment.strategy == "color_flip"
    assert _module(augmentation="cutout").networks.context.augment is None
    assert _module().networks.context.augment.strategy == "color+crop"
    assert _module(cutmix=0.0).networks.context.augment.strategy == "color+crop+cutout"
    assert _module(augmentation=None).networks.context.augment is None


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_coupled_momentum_is_a_step_for_each_class(momentum):
    module = _module(Pixels, momentum=momentum, coupled_momentum=True, lr=0.1)
    module.lr = 0.1
    target = torch.randn(module.synthetic.codec.images.shape, generator=generator(3, "test"), dtype=torch.float64)
    theirs = module.synthetic.codec.images.detach().clone().requires_grad_()
    optimizer, reached = torch.optim.SGD([theirs], 0.1, momentum=momentum), []
    for _ in range(4):
        for label in range(CLASSES):
            own = slice(2 * label, 2 * label + 2)
            reached.append((own, theirs[own].detach().clone()))  # where the class's gradient is taken
            theirs.grad = torch.zeros_like(theirs)
            theirs.grad[own] = theirs.detach()[own] - target[own]
            optimizer.step()
    (images,) = module.parameters()
    ours = module.build_optimizer([{"params": [images]}])
    for step in range(4):
        for own, expected in reached[CLASSES * step : CLASSES * (step + 1)]:
            torch.testing.assert_close(images.detach()[own], expected)
        images.grad = images.detach() - target
        ours.step()


def _set_up(module, std):
    data = SimpleNamespace(preprocessing=Normalization([0.5] * 2, [std] * 2), train_labels=torch.arange(30) % CLASSES)
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    facts = {"callbacks": [], "max_steps": 9, "max_epochs": -1, "progress_bar_callback": None}
    facts |= {"world_size": 1, "global_rank": 0, "is_global_zero": True}
    module._trainer = SimpleNamespace(datamodule=data, strategy=strategy, **facts)
    module.setup("fit")
    return module


def test_the_learning_rate_is_that_of_pixels_and_they_are_clamped_with_a_new_network():
    module = _set_up(_module(outer_loops=2, init="noise"), 0.25)
    assert module.lr == pytest.approx(0.005 * 2 / 10 / 0.25**2)
    assert _set_up(_module(lr=3.0, init="noise"), 0.25).lr == 3.0
    with torch.no_grad():
        module.synthetic.codec.images.fill_(-7.0)
    module.after_update()
    assert module.synthetic.codec.images.min() == -7  # in the middle of a life
    module.iteration = 1
    module.after_update()
    assert module.synthetic.codec.images.unique() == -2  # (0 - 0.5) / 0.25


def test_its_protocol_does_not_mix_mnist():
    assert find_protocol("idc", data="mnist").mixed == 0
    assert find_protocol("idc", data="fashion_mnist").mixed == 0.5
    assert find_protocol("dance", data="mnist").mixed == 0.5


def test_a_network_without_convolutions_is_refused():
    with pytest.raises(OptionError, match="has no convolutions"):
        _module(network=MLP).setup("fit")
