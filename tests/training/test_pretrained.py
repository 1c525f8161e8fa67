"""Networks that are trained on the real images before the run."""

import importlib
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lightning_dd.artifact.preprocessing import Normalization
from lightning_dd.augmentation.crop_flip import CropFlip
from lightning_dd.errors import OptionError, UserError
from lightning_dd.networks import ConvNet, build
from lightning_dd.training import pretrained, recipes
from lightning_dd.training.data import TrainingSet, training_set
from lightning_dd.training.features import train_features
from lightning_dd.training.loop import accuracy
from lightning_dd.training.pretrained import PretrainedNetworks, initial_weights
from lightning_dd.training.sources import SourceContext

CPU = torch.device("cpu")
NETWORK = partial(ConvNet, width=8, depth=2)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_DD_CACHE", str(tmp_path / "cache"))


def _data(name="cifar10", cache=True):
    """A data module's facts: three separable classes."""
    draws = torch.Generator().manual_seed(0)
    labels = torch.arange(90) % 3
    images = 0.3 * torch.rand(90, 1, 8, 8, generator=draws)
    images += 0.5 * (torch.rand(3, 1, 8, 8, generator=draws) > 0.5)[labels]
    normalization = Normalization([0.4], [0.3])
    return SimpleNamespace(
        name=name,
        train_images=(255 * images).byte(),
        train_labels=labels,
        num_classes=3,
        preprocessing=normalization,
        preprocessing_on=lambda device: normalization,
        cache=cache,
    )


def _source(factory=NETWORK, seed=0, rank=0, world_size=1, data=None, **options):
    source = PretrainedNetworks(**{"number": 3, "epochs": 2, **options})
    source.setup(SourceContext(factory, (1, 8, 8), 3, seed, CPU, rank, world_size, data=data or _data()))
    return source


class WithDropout(ConvNet):
    """A network with dropout."""

    def __init__(self, image_shape, num_classes):
        super().__init__(image_shape, num_classes, width=8, depth=2)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return super().forward(self.drop(x))


def _state(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _equal(ours, theirs):
    return all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def _found(source, iterations=range(12)):
    """Return the different networks that some iterations have."""
    found = []
    for state in (_state(source.at(iteration)) for iteration in iterations):
        if not any(_equal(state, other) for other in found):
            found.append(state)
    return found


def test_an_iteration_has_one_of_the_networks_whatever_came_before():
    source = _source()
    network, first = source.at(0), _state(source.at(0))
    assert len(_found(source)) == 3
    nn.init.zeros_(network.classifier.weight)
    assert source.at(0) is network  # nothing compiled is lost
    assert _equal(_state(network), first)
    assert _equal(_state(_source().at(0)), first)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("recipe", ["fast", "plain", "accdd"])
def test_trained_networks_beat_their_start(recipe):
    data = training_set(_data(), CPU)
    images, labels = data.batch(torch.arange(90))
    for state in _found(_source(recipe=recipe, epochs=40)):
        network = build(NETWORK, (1, 8, 8), 3, torch.Generator(), CPU)
        network.load_state_dict(state)
        assert accuracy(network, images, labels) > 80  # chance is 33


@pytest.mark.parametrize("recipe", ["fast", "plain", "dance"])
def test_networks_learn_in_bf16_where_the_processor_has_it(recipe, monkeypatch):
    found = []
    for mixed in (False, True):
        monkeypatch.setattr(recipes, "faster_in_bf16", lambda device, mixed=mixed: mixed)
        found.append(_state(_source(recipe=recipe, number=1).at(0)))
    exact, rounded = (torch.cat([tensor.flatten() for tensor in state.values()]) for state in found)
    assert 1e-6 < (exact - rounded).norm() / exact.norm() < 0.1


def test_the_first_plain_network_is_the_one_of_the_coresets():
    features = train_features(training_set(_data(), CPU), NETWORK, 2, 0, CPU, cache=False)
    assert any(_equal(_state(features.network), state) for state in _found(_source(recipe="plain")))


@pytest.mark.parametrize(("recipe", "training"), [("fast", "fast"), ("plain", "plain"), ("dance", "cutmix")])
def test_the_second_run_finds_them_in_the_cache(recipe, training, monkeypatch):
    first = _source(recipe=recipe)
    monkeypatch.setattr(recipes, f"train_{training}", None)  # must not be called again
    again = _source(recipe=recipe)
    assert again.state_dict() == first.state_dict()
    assert _equal(_state(again.at(5)), _state(first.at(5)))


@pytest.mark.parametrize(
    "change", [{"epochs": 1}, {"seed": 1}, {"recipe": "plain"}, {"factory": ConvNet}, {"data": _data("mnist")}]
)
def test_a_checkpoint_of_other_networks_is_refused(change):
    saved = _source().state_dict()
    _source().load_state_dict(saved)
    with pytest.raises(UserError, match="not those of the checkpoint"):
        _source(**change).load_state_dict(saved)


def test_batch_normalization_keeps_the_statistics_of_the_training():
    source = _source(partial(NETWORK, norm="batch"))
    network = source.at(0)
    (layer, *_) = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert layer.num_batches_tracked == 2  # one batch an epoch
    assert not torch.equal(layer.running_mean, torch.zeros(8))
    images, _ = training_set(_data(), CPU).batch(torch.arange(10))
    torch.testing.assert_close(network(images)[:1], network(images[:1]))
    assert _equal(_state(source.at(0)), _state(network))
    with pytest.raises(OptionError, match="batch normalization"):
        _source(partial(NETWORK, norm="batch"), mix=True)


def test_mixed_weights_lie_between_the_start_and_the_trained():
    trained, mixed = _source(number=1), _source(number=1, mix=True)
    start = _state(build(NETWORK, (1, 8, 8), 3, initial_weights(0, CPU), CPU))
    shares = []
    for iteration in range(6):
        end, state = _state(trained.at(iteration)), _state(mixed.at(iteration))
        name = "classifier.weight"
        share = ((state[name] - start[name]) / (end[name] - start[name])).median()
        for other, tensor in state.items():
            torch.testing.assert_close(tensor, start[other] + share * (end[other] - start[other]), rtol=0, atol=1e-5)
        shares.append(share.item())
    assert 0 < min(shares) < 0.5 < max(shares) <= 1


def test_mixed_weights_start_as_the_training_did_in_double_precision_too():
    source = _source(mix=True, number=1)
    single = {name: tensor.clone() for name, tensor in source.at(0).state_dict().items()}
    source = _source(mix=True, number=1)
    torch.set_default_dtype(torch.float64)
    try:
        double = source.at(0).state_dict()
    finally:
        torch.set_default_dtype(torch.float32)
    for name, tensor in double.items():
        assert tensor.dtype == torch.float64
        torch.testing.assert_close(tensor.float(), single[name])


def test_no_dropout_draws_while_they_are_trained():
    state = torch.get_rng_state()
    first, second = (_state(_source(WithDropout, number=1, data=_data(cache=False)).at(0)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert _equal(first, second)


def test_processes_share_the_training(monkeypatch):
    whole, given = _source(data=_data(cache=False)), {}

    def gather(shares, states):
        given[len(given)] = states
        shares[:] = given.values() if len(given) == 2 else [{**states, 1: states[0]}, {}]

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    _source(rank=0, world_size=2, data=_data(cache=False))
    second = _source(rank=1, world_size=2, data=_data(cache=False))
    assert [list(states) for states in given.values()] == [[0, 2], [1]]
    assert second.state_dict() == whole.state_dict()


@pytest.mark.parametrize(("name", "mirrored"), [("mnist", False), ("fashion_mnist", True)])
def test_digits_are_not_mirrored(name, mirrored, monkeypatch):
    draws, apply = [], CropFlip.apply
    monkeypatch.setattr(CropFlip, "apply", lambda self, draw, images: draws.append(draw) or apply(self, draw, images))
    _source(data=_data(name))
    assert torch.cat(draws)[:, 2].any() == mirrored
    assert torch.cat(draws)[:, :2].any()


@pytest.fixture
def rates(monkeypatch):
    """The learning rates of all steps to come."""
    found, step = [], torch.optim.SGD.step

    def recording(self, *arguments):
        found.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", recording)
    return found


@pytest.mark.parametrize(("recipe", "falls"), [("dance", True), ("ncfm", True), ("dsdm", False), ("accdd", False)])
def test_the_learning_rate_falls_where_the_official_code_lets_it(recipe, falls, rates):
    _source(number=1, epochs=12, recipe=recipe)  # a batch an epoch
    wanted = [0.01] * 8 + [0.002] * 2 + [0.0004] * 2 if falls else [0.01] * 12
    assert rates == pytest.approx(wanted)


def test_one_cycle_of_the_learning_rate(monkeypatch, rates):
    monkeypatch.setattr(recipes, "BATCH_SIZE", 32)
    _source(number=1, epochs=10)
    assert len(rates) == 20  # two whole batches an epoch
    assert max(rates) == pytest.approx(recipes.LR["fast"])
    assert rates[0] < rates[3]
    assert rates[-1] < 0.01 * max(rates)


def test_a_network_of_the_users_is_trained_again_when_its_code_changes(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    code = """
from lightning_dd.networks import ConvNet
class Own(ConvNet):
    def features(self, x, layers=None):
        return {} * super().features(x, layers)
"""
    digests = []
    for index, factor in enumerate((1, 1, -1)):
        (tmp_path / f"own{index}.py").write_text(code.format(factor))
        module = importlib.import_module(f"own{index}")
        digests.append(_source(partial(module.Own, width=8, depth=2)).state_dict())
    assert digests[0] == digests[1] != digests[2]
    assert pretrained.source_digest(ConvNet) == ""


def test_options_of_a_network_of_the_users_are_seen_where_its_text_does_not_show_them(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "scaled.py").write_text("""
from lightning_dd.networks import ConvNet
class Scaled(ConvNet):
    def __init__(self, image_shape, num_classes, scale=1.0):
        super().__init__(image_shape, num_classes, width=8, depth=2)
        self.scale = scale
    def features(self, x, layers=None):
        return super().features(self.scale * x, layers)
""")
    kind = importlib.import_module("scaled").Scaled
    one, other = (_source(partial(kind, scale=scale)).state_dict() for scale in (1.0, -3.0))
    assert one != other


def test_a_network_without_a_file_is_trained_each_time(monkeypatch):
    """As one of a notebook's."""
    trained, train = [], recipes.train_fast
    monkeypatch.setattr(recipes, "train_fast", lambda *arguments: trained.append(1) or train(*arguments))
    kind = type("Own", (ConvNet,), {"__module__": "nowhere"})
    for _ in range(2):
        _source(partial(kind, width=8, depth=2), number=1)
    assert len(trained) == 2


def test_a_network_without_features_is_refused():
    class Foreign(nn.Sequential):
        def __init__(self, image_shape, num_classes):
            super().__init__(nn.Flatten(), nn.Linear(64, num_classes))

    with pytest.raises(UserError, match="Foreign has none"):
        _source(Foreign)


def test_a_small_set_is_one_batch():
    data = TrainingSet(torch.rand(7, 1, 8, 8), torch.arange(7) % 3, 3, lambda pixels: pixels, "none")
    _, history = pretrained.trained_network(data, NETWORK, "plain", 2, 0, CPU)
    assert history.shape == (2, 7)
    assert recipes.steps_per_epoch("fast", data) == 1


@pytest.mark.parametrize(("side", "fast"), [(32, 256), (64, 256), (128, 64), (224, 32)])
def test_a_batch_of_large_images_is_smaller(side, fast):
    data = TrainingSet(torch.empty(1, 1, 1, 1).expand(512, 3, side, side), torch.zeros(512), 2, lambda x: x, "none")
    assert recipes.batch_size("fast", data) == fast
    assert recipes.steps_per_epoch("fast", data) == 512 // fast
    others = {name: recipes.batch_size(name, data) for name in ("plain", "dance", "ncfm", "dsdm", "accdd")}
    assert others == {"plain": 256, "dance": 64, "ncfm": 128, "dsdm": 256, "accdd": 64}
