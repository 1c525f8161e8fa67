"""The protocols' numbers, as methods.md section 5 has them."""

import pytest

from lightning_dd.errors import UserError
from lightning_dd.evaluation import PROTOCOLS, find_protocol


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
    ],
)
def test_schedule_of_the_dc_family(name, total, index, high, low):
    protocol = find_protocol(name)
    assert (protocol.total_epochs, protocol.drop_after) == (total, index)
    assert _rates(protocol) == pytest.approx([0.01] * high + [0.001] * low)


def test_what_is_alike():
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert (protocol.momentum, protocol.weight_decay, protocol.batch_size) == (0.9, 5e-4, 256)


@pytest.mark.parametrize(("name", "augmentation"), [("dc", None), ("dsa", "dsa"), ("dm", "dsa"), ("common", "dsa")])
def test_augmentation(name, augmentation):
    assert find_protocol(name).augmentation == augmentation
    assert find_protocol(name, data="cifar10").augmentation == augmentation


def test_dc_on_mnist_and_with_batch_norm():
    mnist = find_protocol("dc", data="mnist")
    assert (mnist.epochs, mnist.total_epochs, mnist.augmentation) == (1000, 1001, "dc_crop_scale_rotate")
    norm = find_protocol("dc", data="cifar10", batch_norm=True)
    assert (norm.epochs, norm.total_epochs, norm.augmentation) == (1000, 1001, "dc_crop_noise")
    assert find_protocol("dc", data="mnist", batch_norm=True).augmentation == "dc_crop_scale_rotate"
    assert find_protocol("dc", data="fashion_mnist") == find_protocol("dc")
    assert find_protocol("dm", data="mnist", batch_norm=True) == find_protocol("dm")
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
    with pytest.raises(UserError, match=r"'dmm'.*dc, dsa, dm, dd, common"):
        find_protocol("dmm")
    for epochs in (0, -5):
        with pytest.raises(UserError, match=f"--evaluation.epochs.*{epochs}"):
            find_protocol("dm", epochs=epochs)


def test_plain_values_for_records():
    description = find_protocol("dc", data="mnist").describe()
    assert description["name"] == "dc"
    assert description["epochs"] == 1000
    assert description["learning_rate"] == 0.01
    assert "2006.05929" in description["source"]
