import pytest

from lightning_dd.data import CIFAR10, CIFAR100, MNIST, SVHN, Digits, FashionMNIST, TinyImageNet, catalog
from lightning_dd.data.module import measure
from lightning_dd.errors import UserError

CLASSES = {
    Digits: ("digits", 10, (1, 8, 8)),
    MNIST: ("mnist", 10, (1, 28, 28)),
    FashionMNIST: ("fashion_mnist", 10, (1, 28, 28)),
    SVHN: ("svhn", 10, (3, 32, 32)),
    CIFAR10: ("cifar10", 10, (3, 32, 32)),
    CIFAR100: ("cifar100", 100, (3, 32, 32)),
    TinyImageNet: ("tiny_imagenet", 200, (3, 64, 64)),
}


@pytest.mark.parametrize("data_class", CLASSES)
def test_facts_are_known_without_any_files(data_class, tmp_path):
    data = data_class(str(tmp_path))
    assert (data.name, data.num_classes, data.image_shape) == CLASSES[data_class]
    assert len(set(data.class_names)) == data.num_classes
    for mean, std in data_class.facts.statistics.values():
        assert len(mean) == len(std) == data.image_shape[0]


def test_names_are_in_torchvisions_order():
    assert list(catalog.CIFAR100_NAMES) == sorted(catalog.CIFAR100_NAMES)
    assert list(catalog.TINY_IMAGENET_WNIDS) == sorted(catalog.TINY_IMAGENET_WNIDS)
    assert catalog.CIFAR10_NAMES[3] == "cat"
    assert catalog.FASHION[9] == "Ankle boot"


def test_normalization_can_be_chosen():
    assert CIFAR10()._statistics.std == [0.2023, 0.1994, 0.2010]
    assert CIFAR10(normalization="frepo")._statistics.std == [0.2470, 0.2435, 0.2616]
    assert CIFAR100(normalization="mtt")._statistics.mean == [0.4914, 0.4822, 0.4465]
    assert MNIST(normalization={"mean": [0.5], "std": [0.25]})._statistics.std == [0.25]


@pytest.mark.parametrize(
    "normalization",
    ["frepo", {"mean": [0.5], "std": [0.5]}, {"mean": [0.5] * 3}, {"mean": [0.5] * 3, "std": [0.0] * 3}],
)
def test_normalization_that_is_unknown_or_misshapen(normalization):
    with pytest.raises(UserError, match="svhn"):
        SVHN(normalization=normalization)


def test_digits_statistics_are_those_of_the_train_part():
    data = Digits()
    data.setup()
    measured = measure(data.train_images)
    assert measured.mean == pytest.approx(data.preprocessing.mean, abs=1e-4)
    assert measured.std == pytest.approx(data.preprocessing.std, abs=1e-4)
