"""Compiling once."""

import copy
import gc
import weakref

import torch

from lightning_dd.networks import ConvNet
from lightning_dd.runtime.compile import compiled


def small() -> ConvNet:
    return ConvNet((1, 8, 8), 2, width=4, depth=1)


def test_the_same_function_of_the_same_object_is_compiled_once():
    network = small()
    assert compiled(network.features) is compiled(network.features)
    assert compiled(network) is compiled(network)
    assert compiled(network) is not compiled(network.features)
    assert compiled(network.features) is not compiled(small().features)
    assert compiled(torch.nn.functional.relu) is compiled(torch.nn.functional.relu)


def test_without_it_the_function_itself_is_returned():
    network = small()
    assert compiled(network, enabled=False) is network


def test_a_network_looks_as_before_and_its_copy_has_a_compiled_form_of_its_own():
    network, before = small(), str(small())
    features = compiled(network.features)
    compiled(network)
    assert str(network) == before
    assert network.state_dict().keys() == small().state_dict().keys()
    assert compiled(copy.deepcopy(network).features) is not features


def test_a_compiled_form_ends_with_its_network():
    network = small()
    compiled(network.features)
    gone = weakref.ref(network)
    del network
    gc.collect()
    assert gone() is None
