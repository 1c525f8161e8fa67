"""Restricted types: one range for the parser and for Python, one sentence."""

from typing import Any

import pytest
from jsonargparse import ArgumentParser
from jsonargparse.typing import restricted_number_type

from lightning_dd.errors import OptionError, UserError
from lightning_dd.runtime.options import (
    CheckedOptions,
    Momentum,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    UnitInterval,
    requirement,
)


class Parent(CheckedOptions):
    def __init__(self, rate: PositiveFloat = 1.0, share: "UnitInterval | None" = 0.5, momentum: Momentum = 0) -> None:
        """Keep what is given.

        Args:
            rate: of learning.
            share: of something.
            momentum: of something else.
        """
        self.rate, self.share, self.momentum = rate, share, momentum


class Child(Parent):
    def __init__(self, count: PositiveInt, epochs: NonNegativeInt = 0, **options: Any) -> None:
        super().__init__(**options)
        self.count, self.epochs = count, epochs


class Grouped(Parent):
    option_group = "group"


class Placeless(Parent):
    option_group = None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"count": 0}, "count must be at least 1, got 0."),
        ({"count": 1.5}, "count must be a whole number, got 1.5."),
        ({"count": "many"}, "count must be a whole number, got 'many'."),
        ({"count": True}, "count must be a whole number, got True."),
        ({"count": None}, "count must be a whole number, got None."),
        ({"epochs": -1}, "epochs must be at least 0, got -1."),
        ({"rate": 0}, "rate must be above 0, got 0."),
        ({"rate": float("nan")}, "rate must be a number, got nan."),
        ({"rate": "fast"}, "rate must be a number, got 'fast'."),
        ({"share": 1.1}, "share must be from 0 to 1, got 1.1."),
        ({"momentum": 1}, "momentum must be from 0 up to but not including 1, got 1."),
    ],
)
def test_a_constructor_refuses(options, sentence):
    with pytest.raises(OptionError) as caught:
        Child(**{"count": 1, **options})
    assert str(caught.value) == sentence
    (name,) = options
    assert caught.value.option == name


def test_positional_arguments_are_checked():
    with pytest.raises(OptionError, match="count must be at least 1"):
        Child(0)


def test_the_group_stands_before_the_option():
    with pytest.raises(OptionError) as caught:
        Grouped(rate=-1)
    assert caught.value.option == "group.rate"
    with pytest.raises(UserError, match=r"^Placeless's rate must be above 0, got -1\.$"):
        Placeless(rate=-1)


def test_numbers_arrive_as_plain_ones():
    made = Child(PositiveInt(3), rate=PositiveFloat(2), share=None)
    assert (type(made.count), type(made.rate), made.share) == (int, float, None)
    assert (made.count, made.rate, made.epochs) == (3, 2.0, 0)


def test_missing_and_unknown_arguments_are_pythons():
    for options in ({}, {"count": 1, "none": 2}):
        with pytest.raises(TypeError, match="argument"):
            Child(**options)


def test_a_parser_sees_the_whole_signature():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Parent, "model")
    path = f"{__name__}.Child"
    config = parser.parse_object({"model": {"class_path": path, "init_args": {"count": 2, "rate": 3}}})
    made = parser.instantiate(config).model
    assert (made.count, made.rate) == (2, 3)
    helped = ArgumentParser()
    helped.add_class_arguments(Child)
    said = helped.format_help()
    assert "--momentum MOMENTUM" in said
    assert "of learning. (type: PositiveFloat, default: 1.0)" in said


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (NonNegativeFloat, "at least 0"),
        (restricted_number_type(None, int, (">", 4)), "at least 5"),
        (restricted_number_type(None, int, [(">=", 1), ("<=", 9)]), "from 1 to 9"),
        (restricted_number_type(None, float, [(">", 0), ("<=", 1)]), "above 0 and at most 1"),
        (restricted_number_type(None, float, [("<", 0), (">", 1)], "or"), "below 0 or above 1"),
    ],
)
def test_requirements_in_words(kind, words):
    assert requirement(kind) == words
