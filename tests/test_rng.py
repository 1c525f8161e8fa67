"""Keyed generators: the same everywhere and always."""

import itertools
import random

import pytest
import torch

from lightning_dd.rng import generator, key


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0, "real", 0), 8824757478610438492),
        ((1, "real", 0), 3041219795425383632),
        ((0, "network", 0), 2281228221612414945),
        ((0, "real", 7), 5377473992958369057),
        ((123, "evaluation/weights", 4), 2257075860933813402),
    ],
)
def test_key_is_the_same_in_every_version(arguments, expected):
    """These numbers may never change: published results and resumed runs depend on them."""
    assert key(*arguments) == expected


def test_draws_are_the_same_in_every_version():
    assert torch.randint(1000, (5,), generator=generator(0, "real", 5)).tolist() == [486, 690, 241, 628, 639]


def test_keys_differ():
    purposes = ("real", "network", "augmentation", "1", "")
    keys = [key(*each) for each in itertools.product((0, 1, 10, 11), purposes, (0, 1, 10, 11))]
    assert len(set(keys)) == len(keys)
    assert all(0 <= each < 2**63 for each in keys)


def test_iteration_is_zero_unless_said():
    assert key(3, "real") == key(3, "real", 0)
    assert torch.equal(torch.rand(3, generator=generator(3, "real")), torch.rand(3, generator=generator(3, "real", 0)))


def test_draws_depend_on_nothing_that_happened_before():
    first = torch.rand(5, generator=generator(0, "real", 1))
    torch.rand(100)
    torch.rand(100, generator=generator(0, "real", 0))
    random.seed(5)
    assert torch.equal(torch.rand(5, generator=generator(0, "real", 1)), first)
    assert not torch.equal(torch.rand(5, generator=generator(0, "real", 2)), first)


def test_global_generators_are_untouched():
    states = torch.get_rng_state(), random.getstate()
    torch.rand(5, generator=generator(0, "real", 1))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
