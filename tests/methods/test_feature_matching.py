"""The methods after DM: their objectives against the plain forms, and their networks."""

import functools
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import lightning_dd as dd
from benchmarks.tasks.class_by_class import TASKS, UntrainedQueue, pairs
from lightning_dd.artifact.codecs import Pixels, Tiles
from lightning_dd.errors import OptionError
from lightning_dd.methods import DANCE, DSDM, IDM, NCFM, DataDAM
from lightning_dd.networks import ConvNet, Network, build
from lightning_dd.networks.named import named_network
from lightning_dd.rng import generator
from lightning_dd.training.early import EarlyNetworks
from lightning_dd.training.pool import NetworkPool
from lightning_dd.training.pretrained import PretrainedNetworks
from lightning_dd.training.queue import NetworkQueue
from lightning_dd.training.saved import SavedNetwork
from lightning_dd.training.sources import RandomNetworks, TrainedNetworks
from tests.methods.steps import CLASSES, SHAPE, SMALL, assert_same, objective, real_batch, small
from tools.reference import distributions

SOURCES = {
    kind.__name__: kind
    for kind in (EarlyNetworks, NetworkPool, NetworkQueue, PretrainedNetworks, RandomNetworks, SavedNetwork)
} | {"TrainedNetworks": TrainedNetworks}


class _Trained(RandomNetworks):
    """A network for matching, and one with last weights."""

    def trained(self, iteration):
        return build(SMALL, SHAPE, CLASSES, generator(7, "trained", iteration)).double()


def _network():
    return build(SMALL, SHAPE, CLASSES, generator(7, "network", 0)).double().requires_grad_(False)


OWN = {  # what a method needs beyond the plain form's defaults, and another weight
    "dance": (DANCE, {"networks": _Trained(), "calibration": 0.5}),
    "ncfm": (NCFM, {"networks": _Trained(), "calibration": 0.5, "frequencies": 7}),
    "dsdm": (DSDM, {"networks": RandomNetworks()}),
    "idm": (IDM, {"networks": UntrainedQueue()}),
    "datadam": (DataDAM, {"features": 0.5, "power": 2.0}),
}


@pytest.mark.parametrize("codec", [Pixels, Tiles])
@pytest.mark.parametrize("name", OWN)
def test_the_objective_is_the_plain_form(name, codec):
    kind, options = OWN[name]
    module, network = small(kind, codec=codec, **options), _network()
    module._trainer = SimpleNamespace(world_size=1)
    module.networks.at(0)
    module.networks.at = lambda iteration: network
    loss, plain = objective(module, real_batch()), sum(TASKS[name].loss(module, network, real_batch()))
    assert_same(loss, plain, module)
    torch.testing.assert_close(sum(objective(module, real_batch(part)) for part in ([0, 2], [1])), loss)
    module._history = None  # DSDM's, whose length a process without classes learns from another one
    assert objective(module, real_batch([])).item() == 0


def _saved(folder):
    state = build(functools.partial(ConvNet, width=4, depth=1), (1, 8, 8), 10, generator(0, "saved", 0)).state_dict()
    torch.save(state, folder / "weights.pt")
    return SavedNetwork(str(folder / "weights.pt"))


@pytest.mark.parametrize("kind", sorted(SOURCES))
def test_calibration_goes_with_every_source_of_networks(kind, tmp_path):
    """A source that loads weights anew when it is asked for the trained network would spoil what is differentiated."""
    options = {"PretrainedNetworks": {"number": 1, "epochs": 1}, "EarlyNetworks": {"number": 1, "epochs": 1}}
    source = _saved(tmp_path) if kind == "SavedNetwork" else SOURCES[kind](**options.get(kind, {}))
    images, labels = torch.rand(20, 1, 8, 8, generator=generator(0, "images", 0)), torch.arange(10).repeat(2)
    few, _ = dd.distill_tensors(
        images, labels, "dance", ipc=1, steps=2, networks=source, codec="Pixels", network="ConvNet:width=4,depth=1"
    )
    assert few.isfinite().all()


@pytest.mark.parametrize(("kind", "mixed", "passes"), [(DANCE, False, 1), (DANCE, True, 2), (IDM, False, 1)])
def test_images_go_once_through_a_network_that_both_matches_and_classifies(kind, mixed, passes):
    module, network, seen = small(kind, networks=UntrainedQueue()), _network(), []
    last = _network() if mixed else network
    module.networks.at(0)
    module.networks.at, module.networks.trained = (lambda iteration: network), (lambda iteration: last)
    for each in {network, last}:
        each.blocks[0].register_forward_hook(lambda layer, given, out: seen.append(out.requires_grad))
    objective(module, real_batch())
    assert sum(seen) == passes  # the real images have no gradient


def test_dsdm_remembers_its_past():
    module, network, past = small(DSDM, networks=RandomNetworks(), history_from=1), _network(), {}
    module._trainer = SimpleNamespace(world_size=1)
    module.networks.at = lambda iteration: network
    for module.iteration in range(3):
        plain = sum(distributions.dsdm(network.features, pairs(module, real_batch()), past))
        assert_same(objective(module, real_batch()), plain, module)
        torch.testing.assert_close(module._history, torch.stack(list(past.values())))
        with torch.no_grad():
            module.synthetic.codec.images.mul_(1.5)


@pytest.mark.parametrize(
    ("kind", "options", "lr"),
    [(DANCE, {}, 0.03 / 0.25), (DSDM, {}, 0.03 / 0.25), (NCFM, {}, 0.002), (NCFM, {"optimizer": "sgd"}, 0.01 / 0.25)],
)
def test_learning_rates_are_the_official_codes_in_units_of_pixels(kind, options, lr):
    assert kind(3, **options).published_lr(0.5) == pytest.approx(lr)


def test_ncfm_moves_images_by_adamw_or_by_sgd():
    groups = [{"params": [torch.zeros(1, requires_grad=True)]}]
    assert isinstance(NCFM(1).build_optimizer(groups), torch.optim.AdamW)
    sgd = NCFM(1, optimizer="sgd").build_optimizer(groups)
    assert isinstance(sgd, torch.optim.SGD)
    assert sgd.defaults["momentum"] == 0.5


def test_datadam_needs_layers_of_its_own():
    module = small(DataDAM, network=functools.partial(ConvNet, width=4, depth=1))
    with pytest.raises(OptionError, match="fewer than two ReLU layers"):
        objective(module, real_batch())


def test_idm_needs_a_queue():
    with pytest.raises(OptionError, match="must be a NetworkQueue"):
        small(IDM, networks=RandomNetworks())


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


def test_a_queue_trains_different_networks_on_images_as_they_are(monkeypatch):
    queue, trained = _queue(start=3), []
    monkeypatch.setattr(queue, "_train", lambda member, *_: trained.append(id(member)))
    queue.at(0)
    for iteration in range(10):
        queue.update(iteration, None, None)
    assert all(one != other for one, other in zip(trained[::2], trained[1::2], strict=True))
    queue.context = replace(queue.context, augment=lambda *_: pytest.fail("augmented"))
    images, labels = next(queue._batches(0, 0))
    torch.testing.assert_close(images.mean((1, 2, 3)), labels.float(), atol=0.2, rtol=0)


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


class _WithoutClassifier(Network):
    """A network with its own `forward`, which no classifier on its features gives."""

    def __init__(self, image_shape, num_classes):
        super().__init__()
        self.blocks = torch.nn.ModuleList([torch.nn.Conv2d(image_shape[0], 4, 3), torch.nn.Flatten()])
        self.head = torch.nn.LazyLinear(num_classes)
        self(torch.zeros(1, *image_shape))

    def forward(self, x):
        return self.head(self.features(x))


@pytest.mark.parametrize("method", ["idm", "ncfm"])
def test_a_network_that_classifies_by_its_own_forward(method):
    images, labels = torch.rand(20, 1, 8, 8, generator=generator(0, "images", 0)), torch.arange(10).repeat(2)
    options = {"codec": "Pixels"} | ({"networks": RandomNetworks()} if method == "ncfm" else {})
    few, _ = dd.distill_tensors(images, labels, method, ipc=1, steps=2, network=_WithoutClassifier, **options)
    assert few.isfinite().all()


@pytest.mark.parametrize(("network", "maps"), [("LeNet", 1), ("ConvNet:width=4,depth=2", 1), ("AlexCifarNet", 1)])
def test_attention_is_that_of_maps_alone(network, maps):
    """LeNet and others have ReLUs behind their flattening too; the last of the maps is left out, as published."""
    module = DataDAM(ipc=1, image_shape=(3, 32, 32), num_classes=10, features=1.0)
    made = named_network(network)((3, 32, 32), 10)
    images = torch.rand(2, 3, 32, 32)
    shapes, x = [], images
    for layer in made.trunk():
        x = layer(x)
        if isinstance(layer, torch.nn.ReLU) and x.ndim == 4:
            shapes.append(x.shape[2] * x.shape[3])
    found = module.embedding(made)(images)
    assert found.shape == (2, sum(shapes[:-1]) + made.features(images).shape[1])
    assert len(shapes) == maps + 1


def test_a_network_without_maps_has_no_attention():
    module = DataDAM(ipc=1, image_shape=(3, 8, 8), num_classes=10)
    with pytest.raises(OptionError, match="fewer than two ReLU layers"):
        module.embedding(named_network("MLP")((3, 8, 8), 10))
