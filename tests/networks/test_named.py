"""Networks by compact names."""

import copy

import pytest
import torch

from lightning_dd import networks
from lightning_dd.errors import UserError
from lightning_dd.networks.named import recorded_network, sample_network
from lightning_dd.runtime.options import PositiveInt


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("ConvNet", "ConvNet"),
        ("ConvNet:norm=none", "ConvNet (norm none)"),
        ("ConvNet:width=16,depth=2", "ConvNet (width 16, depth 2)"),
        ("AlexNet:norm=instance", "AlexNet (norm instance)"),
        ("ResNet18:norm=batch", "ResNet18 (norm batch)"),
        ("Torchvision:name=mobilenet_v3_small", "torchvision mobilenet_v3_small"),
        ("tests.networks.own.Plain", "tests.networks.own.Plain"),
        ("tests.networks.own.Plain:width=4", "tests.networks.own.Plain (width 4)"),
    ],
)
def test_names(name, description):
    state = torch.get_rng_state()
    assert sample_network(name, (3, 32, 32), 10).description == description
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Convnet", "did you mean ConvNet"),
        ("torchvision.models.resnet18", "Networks of torchvision are Torchvision:name=resnet18 here"),
        ("Network", "There is no network 'Network'"),
        ("nowhere.Net", "'nowhere.Net' cannot be imported: No module named 'nowhere'"),
        ("tests.networks.own.Nett", "The module tests.networks.own has no Nett; there are Plain"),
        ("tests.networks.own.Plain:breadth=4", "cannot be made from these options: .*breadth"),
        ("ConvNet:norm", "not OPTION=VALUE"),
        ("ConvNet:norm=group_norm", "norm must be one of none, instance"),
        ("ConvNet:nomr=none", "ConvNet has no option nomr; did you mean norm"),
        ("ConvNet:width=wide", "ConvNet's width must be a whole number, got 'wide'"),
        ("ConvNet:depth=0", "ConvNet's depth must be at least 1, got 0"),
    ],
)
def test_mistakes_are_sentences(name, words):
    with pytest.raises(UserError, match=words):
        sample_network(name, (3, 32, 32), 10)


def test_what_a_network_is_made_from_is_plain_and_makes_it_again():
    made_from = networks.ConvNet((3, 8, 8), 10, PositiveInt(4), depth=2).made_from
    assert made_from["init_args"] == {"width": 4, "depth": 2}
    assert type(made_from["init_args"]["width"]) is int
    again = recorded_network(made_from)((3, 8, 8), 10)
    assert again.made_from == made_from
    assert copy.deepcopy(again).made_from == made_from
