"""The protocols' numbers, as methods.md section 5 has them."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.preprocessing import Normalization
from lightning_dd.errors import UserError
from lightning_dd.evaluation import PROTOCOLS, find_protocol
from lightning_dd.networks import VGG11, ConvNet

OTHERS = ("frepo", "datm", "datadam", "idc", "dance", "ncfm", "kd")
"""Protocols whose batches or optimizers are their own."""


def _batch_norm():
    return ConvNet((3, 32, 32), 10, width=4, norm="batch")


def _rates(protocol):
    """Learning rate of each epoch, as the official loop has it: it drops after the epoch of that index."""
    rates, rate = [], protocol.learning_rate
    for epoch in range(protocol.total_epochs):
        rates.append(rate)
        if epoch == protocol.drop_after:
            rate *= 0.1
    return rates


@pytest.mark.parametrize(
    ("name", "total", "index", "high", "low"),
    [
        ("dc", 301, 151, 152, 149),
        ("dsa", 1001, 501, 502, 499),
        ("dm", 1001, 501, 502, 499),
        ("common", 1001, 501, 502, 499),
        ("common_soft", 1001, 501, 502, 499),
        ("mtt", 1001, 501, 502, 499),
        ("datm", 1001, 501, 502, 499),
        ("dcbench", 301, 151, 152, 149),
        ("dcbench_dsa", 1001, 501, 502, 499),
    ],
)
def test_schedule_of_the_dc_family(name, total, index, high, low):
    protocol = find_protocol(name)
    assert (protocol.total_epochs, protocol.drop_after) == (total, index)
    assert _rates(protocol) == pytest.approx([0.01] * high + [0.001] * low)


def test_what_is_alike():
    assert all(protocol.name == name for name, protocol in PROTOCOLS.items())
    for protocol in (PROTOCOLS[name] for name in PROTOCOLS if name not in OTHERS):
        assert (protocol.momentum, protocol.weight_decay, protocol.batch_size) == (0.9, 5e-4, 256)


@pytest.mark.parametrize(
    ("name", "augmentation"),
    [
        ("dc", None),
        ("dsa", "dsa"),
        ("dm", "dsa"),
        ("mtt", "dsa"),
        ("datm", "dsa"),
        ("dcbench", None),
        ("dcbench_dsa", "dsa"),
        ("common", "dsa"),
        ("common_soft", "dsa"),
        ("frepo", "frepo_flip_color_crop_rotate_translate_cutout"),
    ],
)
def test_augmentation(name, augmentation):
    assert find_protocol(name).augmentation == augmentation
    assert find_protocol(name, data="cifar10").augmentation == augmentation


def test_common_protocols_train_all_sets_alike_and_papers_own_by_the_sets_operations():
    strategies = {name: find_protocol(name).augment("color+crop").strategy for name in ("common", "dcbench_dsa", "dm")}
    every = "color_crop_cutout_flip_scale_rotate"
    assert strategies == {"common": every, "dcbench_dsa": every, "dm": "color+crop"}
    assert "flip" not in find_protocol("common", data="mnist").augment("flip").strategy


def test_dc_on_mnist_and_with_batch_norm():
    mnist = find_protocol("dc", data="mnist")
    assert (mnist.epochs, mnist.total_epochs, mnist.augmentation) == (1000, 1001, "dc_crop_scale_rotate")
    assert mnist.length(10) == "1000 epochs"  # as the record says it
    norm = find_protocol("dc", data="cifar10", network=_batch_norm)
    assert (norm.epochs, norm.total_epochs, norm.augmentation) == (1000, 1001, "dc_crop_noise")
    assert find_protocol("dc", data="cifar10", network=nn.Flatten) == find_protocol("dc")
    assert find_protocol("dc", data="mnist", network=_batch_norm).augmentation == "dc_crop_noise"
    for other in ({"depth": 2}, {"norm": "none"}):  # without batch normalization
        assert find_protocol("dc", network=partial(ConvNet, (3, 32, 32), 10, **other)) == find_protocol("dc")
    deep = partial(VGG11, (3, 32, 32), 10, norm="batch")  # the official program asks for its ConvNetBN alone
    assert find_protocol("dc", data="cifar10", network=deep) == find_protocol("dc")
    assert find_protocol("dc", data="fashion_mnist") == find_protocol("dc")
    assert find_protocol("dm", data="fashion_mnist", network=_batch_norm) == find_protocol("dm")
    assert find_protocol("dm", data="mnist").augmentation == "dsa_color_crop_cutout_scale_rotate"  # digits
    assert find_protocol("dc").epochs == 300  # the table itself is as it was


@pytest.mark.parametrize("data", ["", "mnist"])
def test_epochs_in_place_of_the_published(data):
    protocol = find_protocol("dc", epochs=20, data=data)
    assert (protocol.epochs, protocol.total_epochs, protocol.drop_after) == (20, 21, 11)
    assert protocol.augmentation == find_protocol("dc", data=data).augmentation


def test_shortest():
    protocol = find_protocol("dm", epochs=1)
    assert (protocol.total_epochs, protocol.drop_after) == (2, 1)


def test_mistakes():
    with pytest.raises(
        UserError,
        match=r"'dmm'.*dc, dsa, dm, mtt, datm, dd, frepo, krr, datadam, idc, dance, ncfm, kd, dcbench, dcbench_dsa",
    ):
        find_protocol("dmm")
    for epochs in (0, -5):
        with pytest.raises(UserError, match=f"evaluation.epochs must be at least 1, got {epochs}"):
            find_protocol("dm", epochs=epochs)


def test_plain_values_for_records():
    description = find_protocol("dc", data="mnist").describe()
    assert description["name"] == "dc"
    assert description["epochs"] == 1000
    assert description["learning_rate"] == 0.01
    assert "2006.05929" in description["source"]


def test_frepo():
    frepo = find_protocol("frepo", data="cifar10")
    steps = {10: 1000, 100: 2000, 200: 20_000, 400: 5000, 500: 5000, 1000: 10_000, 2000: 40_000, 5000: 40_000}
    assert {size: frepo.num_steps(size) for size in steps} == steps
    assert [frepo.num_steps(size) for size in (2, 20, 300, 501, 9000)] == [1000, 2000, 5000, 10_000, 40_000]
    assert (frepo.learning_rate, frepo.batch_size, frepo.labels) == (3e-4, 500, "targets")
    for data in ("mnist", "fashion_mnist", "svhn", "digits"):
        assert find_protocol("frepo", data=data).augmentation == "frepo_color_crop_rotate_translate_cutout"
    assert frepo.length(10) == "1000 steps"
    assert find_protocol("frepo", epochs=7).num_steps(1001) == 21


def test_frepo_s_learning_rate():
    factors = [find_protocol("frepo").lr_factor(step, 100) for step in range(2000)]
    # a line over 500 steps, then (1 + cos) / 2 between 1 and 0.01 over 1500
    assert [factors[step] for step in (0, 1, 250, 499)] == pytest.approx([0, 0.002, 0.5, 0.998])
    assert [factors[step] for step in (500, 1250)] == pytest.approx([1, 0.505])
    assert factors[1999] == pytest.approx(0.01, abs=1e-5)
    short = [find_protocol("frepo", epochs=10).lr_factor(step, 100) for step in range(10)]
    assert max(short) == short[5] == 1  # the warm-up is at most half of all


def test_datm_trains_on_soft_labels_with_the_learned_step_size():
    datm = find_protocol("datm")
    assert (datm.labels, datm.batch_size) == ("soft", 128)
    assert datm.bind({"step_size": 0.02}).learning_rate == 0.02


def test_mtt_trains_with_the_learned_step_size():
    mtt = find_protocol("mtt")
    assert mtt.bind({"step_size": 0.023}).learning_rate == 0.023
    assert mtt.bind({}).learning_rate == 0.01
    assert find_protocol("dsa").bind({"step_size": 0.023}).learning_rate == 0.01
    with pytest.raises(UserError, match=r"step size is -0\.1"):
        mtt.bind({"step_size": -0.1})


@pytest.mark.parametrize(
    ("name", "epochs", "batch", "rates"),
    [
        ("idc", 1000, 64, [(0, 0.01), (666, 0.01), (667, 2e-3), (833, 2e-3), (834, 4e-4)]),
        ("dance", 1500, 64, [(0, 0.01), (999, 0.01), (1000, 2e-3), (1249, 2e-3), (1250, 4e-4)]),
        ("ncfm", 2000, 128, [(0, 1e-3), (399, 1e-3), (400, 5e-4), (1200, 1.25e-4), (1999, 6.25e-5)]),
    ],
)
def test_schedules_with_several_drops(name, epochs, batch, rates):
    protocol = find_protocol(name)
    assert (protocol.total_epochs, protocol.batch_size) == (epochs, batch)
    for epoch, rate in rates:
        step = epoch * protocol.steps_per_epoch(100)
        assert protocol.learning_rate * protocol.lr_factor(step, 100) == pytest.approx(rate)
        assert not protocol.resets_optimizer(step, 100)
    assert isinstance(protocol.optimizer(nn.Linear(1, 1)), torch.optim.AdamW) == (name == "ncfm")
    assert "flip" in find_protocol(name, data="cifar10").augmentation
    assert "flip" not in find_protocol(name, data="svhn").augmentation


@pytest.mark.parametrize("classes", [1, 3])
def test_training_with_cutmix_learns(classes):
    """A bright band in another place for each class; the labels of mixed batches are probabilities."""
    draws = torch.Generator().manual_seed(0)
    labels = torch.arange(12) % classes
    bands = torch.eye(3).repeat_interleave(3, 1)[labels][:, None, :, None].expand(-1, -1, -1, 9)
    images = 2 * bands + 0.1 * torch.randn(12, 1, 9, 9, generator=draws)
    network = nn.Sequential(nn.Flatten(), nn.Linear(81, 32), nn.ReLU(), nn.Linear(32, classes))
    protocol = find_protocol("idc", epochs=150, data="mnist" if classes == 1 else "svhn")
    distilled = SimpleNamespace(num_classes=classes)
    protocol.train(network, images, labels, distilled, protocol.augment(None), draws)
    assert (network(images).argmax(1) == labels).float().mean() > 0.9


@pytest.mark.parametrize("augmented", [True, False])
def test_cutmix_is_augmentation_too(augmented):
    protocol = find_protocol("idc", data="svhn")
    protocol = protocol if augmented else replace(protocol, augmentation=None)
    images, labels, draws = torch.rand(8, 3, 4, 4), torch.arange(8) % 2, torch.Generator().manual_seed(0)
    distilled = DistilledDataset(images, labels, ("a", "b"), Normalization((0.0,) * 3, (1.0,) * 3))
    rows = (torch.arange(8) for _ in range(20))
    batches = protocol.batches(images, labels, rows, distilled, protocol.augment(None), draws)
    assert any(labels.is_floating_point() for _, labels in batches) == augmented


@pytest.mark.parametrize(
    ("data", "network", "epochs"), [("mnist", nn.Flatten, 1000), ("svhn", _batch_norm, 1000), ("svhn", nn.Flatten, 300)]
)
def test_random_real_images_beside_dds_are_trained_on_as_dc_does_on_that_data(data, network, epochs):
    found = find_protocol("dd", data=data, network=network).for_real()
    assert (found.name, found.epochs, found.augmentation is None) == ("dc", epochs, epochs == 300)


def test_a_protocol_of_the_users_by_its_path():
    found = find_protocol("tests.evaluation.own.SHORT", data="mnist")
    assert (found.name, found.epochs, found.learning_rate) == ("tests.evaluation.own.SHORT", 3, 0.05)
    for path, words in (
        ("tests.evaluation.own.SHOR", r"The module tests\.evaluation\.own has no SHOR"),
        ("tests.evaluation.own.Still", "is no protocol: give the path of a lightning_dd.evaluation.Protocol"),
        ("nowhere.MINE", "The protocol 'nowhere.MINE' cannot be imported: No module named 'nowhere'"),
    ):
        with pytest.raises(UserError, match=words):
            find_protocol(path)


def test_a_run_under_a_users_protocol_is_recorded_by_its_path_and_never_imports_it_again(fit, product, monkeypatch):
    options = ("--evaluation.enabled", "true", "--evaluation.num_networks", "1", "--trainer.max_steps", "1")
    assert fit(*options, "--evaluation.protocol", "tests.evaluation.own.STILL") == 0
    distilled = product()
    (record,) = distilled.info["evaluations"]
    assert record["protocol"] == "tests.evaluation.own.STILL"
    with pytest.raises(UserError, match=r"'tests\.evaluation\.own\.STILL', a protocol of its maker's: give protocol"):
        distilled.train()
    network, fresh = (distilled.train(protocol=record["protocol"], seed=0) for _ in range(2))
    assert torch.equal(*(next(each.parameters()) for each in (network, fresh)))
    distilled.train("MLP:width=4", protocol="common", epochs=1)
