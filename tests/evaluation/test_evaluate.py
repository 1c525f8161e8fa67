"""Accuracies of a distilled set and of random real images."""

import statistics

import pytest
import torch
from torch import nn

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.preprocessing import Normalization
from lightning_dd.evaluation import Accuracies, Protocol, evaluate, find_protocol
from lightning_dd.networks import ConvNet

NORMALIZATION = Normalization([0.5], [0.25])
PROTOCOL = find_protocol("dc", epochs=12)


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def _pixels(labels, seed, noise=0.2):
    """Separable images of four classes."""
    centers = torch.rand(4, 1, 8, 8, generator=_generator(0))
    return centers[labels] + noise * torch.randn(len(labels), 1, 8, 8, generator=_generator(seed))


def _distilled(**changes):
    labels = torch.arange(4)
    arguments = {
        "images": _pixels(labels, 1, noise=0.0),
        "labels": labels,
        "class_names": tuple("abcd"),
        "preprocessing": NORMALIZATION,
    }
    return DistilledDataset(**{**arguments, **changes})


def _test_set():
    labels = torch.arange(4).repeat(30)
    return NORMALIZATION(_pixels(labels, 2)), labels


def _random_real(index):
    """Noisy images, others for each index."""
    labels = torch.arange(4)
    return NORMALIZATION(_pixels(labels, 100 + index, noise=0.6)), labels


def _network(image_shape, num_classes):
    return ConvNet(image_shape, num_classes, width=8, depth=2)


class _Foreign(nn.Sequential):
    def __init__(self, image_shape, num_classes):
        super().__init__(nn.Flatten(), nn.Linear(64, num_classes))


def _evaluate(networks=range(3), distilled=None, random_real=_random_real, network=_network, protocol=PROTOCOL, seed=0):
    return evaluate(distilled or _distilled(), random_real, _test_set(), network, protocol, networks, seed)


def test_beats_chance_and_stands_beside_random_real():
    result = _evaluate(protocol=find_protocol("dc", epochs=40))
    assert len(result.distilled) == len(result.random_real) == 3
    assert all(0 <= accuracy <= 100 for accuracy in result.distilled + result.random_real)
    assert min(result.distilled) > 60  # chance is 25
    assert statistics.fmean(result.distilled) > statistics.fmean(result.random_real)
    assert result.network == "ConvNet (width 8, depth 2)"
    assert result.seconds > 0


def test_a_network_depends_on_seed_and_index_alone():
    whole = _evaluate(range(4))
    assert len(set(whole.distilled)) > 1  # or the rest says little
    shares = [_evaluate(share) for share in ([3, 1], [0, 2])]
    merged = dict(zip([3, 1, 0, 2], shares[0].distilled + shares[1].distilled, strict=True))
    assert [merged[index] for index in range(4)] == whole.distilled
    real = dict(zip([3, 1, 0, 2], shares[0].random_real + shares[1].random_real, strict=True))
    assert [real[index] for index in range(4)] == whole.random_real


def test_layers_that_drop_depend_on_seed_and_index_too():
    def network(shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, classes))

    state = torch.get_rng_state()
    both = _evaluate([0, 1], network=network)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    assert _evaluate([1], network=network).distilled == both.distilled[1:]


def test_order_and_augmentation_differ_between_networks(monkeypatch):
    draws = []
    monkeypatch.setattr(Protocol, "train", lambda *arguments: draws.append(arguments[-1].initial_seed()))
    _evaluate([0, 1])
    assert draws[0] == draws[1] != draws[2] == draws[3]  # the distilled set and random real images take turns


def test_another_seed_gives_other_networks():
    assert _evaluate(range(4), seed=1).distilled != _evaluate(range(4)).distilled


def test_global_generator_is_untouched():
    state = torch.get_rng_state()
    for network in (_network, _Foreign):
        _evaluate([0], network=network)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("network", [_network, _Foreign])
def test_both_sets_meet_the_same_weights_and_order(network):
    distilled = _distilled()
    result = _evaluate(range(2), random_real=lambda index: (distilled.prepared, distilled.labels), network=network)
    assert result.random_real == result.distilled
    assert len(result.distilled) == 2


def test_random_real_is_asked_for_each_index():
    asked = []

    def random_real(index):
        asked.append(index)
        return _random_real(index)

    _evaluate([4, 2], random_real=random_real, protocol=find_protocol("dc", epochs=1))
    assert asked == [4, 2]


def test_random_real_is_trained_once_for_all_sets(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_DD_CACHE", str(tmp_path))
    built = []

    def counting(*shape):
        built.append(shape)
        return _network(*shape)

    def again(distilled, seed=0):
        built.clear()
        shared = _random_real, _test_set(), counting, find_protocol("dc", epochs=3), range(2), seed
        return evaluate(distilled, *shared, cache=True).random_real, len(built)

    other = _distilled()
    other.images = other.images + 1
    first, trained = again(_distilled())
    assert again(other) == (first, trained - 2)
    assert again(other, seed=1)[1] == trained


def test_networks_of_others_are_trained_each_time(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_DD_CACHE", str(tmp_path))
    evaluate(_distilled(), _random_real, _test_set(), _Foreign, find_protocol("dc", epochs=3), [0], 0, cache=True)
    assert not list(tmp_path.iterdir())


def test_without_random_real():
    alone = _evaluate(range(2), random_real=None)
    assert alone.random_real == []
    assert alone.distilled == _evaluate(range(2)).distilled


def test_soft_labels_are_taken_as_their_arg_max():
    soft = torch.full((4, 4), 0.1) + 0.6 * torch.eye(4)
    result = _evaluate(distilled=_distilled(labels=soft, label_kind="probabilities"), random_real=None)
    assert result.distilled == _evaluate(random_real=None).distilled


def test_augments_as_the_images_were_distilled():
    protocol = find_protocol("dm", epochs=12)
    accuracies = {
        strategy: _evaluate(
            distilled=_distilled(recipe={"augmentation": strategy}), random_real=None, protocol=protocol
        ).distilled
        for strategy in ("crop", "cutout_rotate")
    }
    assert accuracies["crop"] != accuracies["cutout_rotate"]


def test_foreign_network_is_named_by_its_class():
    assert _evaluate([0], network=_Foreign, random_real=None).network == "_Foreign"


def test_record():
    accuracies = Accuracies([50.0, 60.0, 73.33333], [40.0, 42.0], network="ConvNet", seconds=12.3456)
    record = accuracies.record(step=200, protocol=find_protocol("dm", epochs=20), split="test")
    assert record == {
        "step": 200,
        "network": "ConvNet",
        "protocol": "dm",
        "epochs": 20,
        "split": "test",
        "num_networks": 3,
        "accuracies": [50.0, 60.0, 73.333],
        "accuracy_mean": 61.111,
        "accuracy_std": pytest.approx(9.558, abs=1e-3),  # sqrt(mean of squares - square of mean), not over n - 1
        "random_real_mean": 41.0,
        "random_real_std": 1.0,
        "seconds": 12.3,
    }


def test_record_without_random_real():
    record = Accuracies([50.0], network="ConvNet").record(0, PROTOCOL, "held_out")
    assert (record["accuracy_mean"], record["accuracy_std"]) == (50.0, 0.0)
    assert record["random_real_mean"] is None
    assert record["random_real_std"] is None


def test_soft_labels_are_trained_on_where_the_protocol_says_so():
    soft = torch.full((4, 4), 0.2) + 0.2 * torch.eye(4)
    distilled = _distilled(labels=soft, label_kind="probabilities", recipe={"augmentation": "crop"})
    hard = _distilled(recipe={"augmentation": "crop"})
    common, common_soft = (find_protocol(name, epochs=12) for name in ("common", "common_soft"))
    trained = {
        (which, protocol.name): _trained_weights(distilled if which == "soft" else hard, protocol)
        for which in ("soft", "hard")
        for protocol in (common, common_soft)
    }
    assert torch.equal(trained["soft", "common"], trained["hard", "common"])
    assert torch.equal(trained["hard", "common_soft"], trained["hard", "common"])
    assert not torch.equal(trained["soft", "common_soft"], trained["soft", "common"])


def _trained_weights(distilled, protocol):
    networks = []

    def keeping(image_shape, num_classes):
        networks.append(_network(image_shape, num_classes))
        return networks[-1]

    _evaluate([0], distilled=distilled, random_real=None, network=keeping, protocol=protocol)
    return torch.cat([p.detach().flatten() for p in networks[-1].parameters()])


def test_the_learned_step_size_is_used():
    protocol = find_protocol("mtt", epochs=3)
    recipes = [{"augmentation": "crop", **more} for more in ({}, {"step_size": 0.01}, {"step_size": 0.03})]
    default, same, other = (_trained_weights(_distilled(recipe=recipe), protocol) for recipe in recipes)
    assert torch.equal(default, same)
    assert not torch.equal(default, other)


@pytest.mark.parametrize("kind", ["index", "targets"])
def test_regression_learns_a_separable_set(kind):
    labels = torch.arange(4) if kind == "index" else torch.eye(4) - 0.25
    distilled = _distilled(labels=labels, label_kind=kind)
    result = _evaluate([0], distilled=distilled, protocol=find_protocol("frepo", epochs=400))
    assert result.distilled[0] > 60
    assert len(result.random_real) == 1
