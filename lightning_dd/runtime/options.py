"""Options with a range: types that the command line checks, and a base class that checks them from Python too."""

import functools
import inspect
import math
import operator
import re
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from jsonargparse.typing import (
    ClosedUnitInterval,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    restricted_number_type,
)

from lightning_dd.errors import OptionError, UserError

__all__ = [
    "CheckedOptions",
    "Fraction",
    "Momentum",
    "NonNegativeFloat",
    "NonNegativeInt",
    "PositiveFloat",
    "PositiveInt",
    "UnitInterval",
    "refusal",
    "requirement",
    "restricted_number_type",
]

UnitInterval = ClosedUnitInterval
Momentum = restricted_number_type("HalfOpenUnitInterval", float, [(">=", 0), ("<", 1)])
Fraction = restricted_number_type("FractionSetAside", float, [(">=", 0), ("<=", 0.9)])
"""Of a whole of which something must be left."""

_WORDS = {operator.gt: "above", operator.ge: "at least", operator.lt: "below", operator.le: "at most"}


class CheckedOptions:
    """A class whose constructor refuses what the restricted types of its signature exclude, and sees plain numbers.

    Every constructor of a hierarchy checks its own parameters, so options that go through `**options` are checked by
    the parent that names them.

    Attributes:
        option_group: of the command line, such as `evaluation`; `""` for a method's own options; None for a class that
            has no fixed place there, whose sentences name the class instead.

    Raises:
        OptionError: a value is out of its range; a `UserError` where there is no group.
    """

    option_group: ClassVar[str | None] = ""

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Wrap the constructor; its signature and source stay visible to parsers."""
        super().__init_subclass__(**keywords)
        if "__init__" in vars(cls):
            cls.__init__ = _checked(cls.__init__)


def requirement(kind: type) -> str:
    """Return what a restricted type demands, to follow "must be".

    Args:
        kind: a restricted type of jsonargparse, for example `PositiveInt`.

    Example:
        >>> requirement(PositiveInt), requirement(Momentum)
        ('at least 1', 'from 0 up to but not including 1')
    """
    limits = dict(_inclusive(kind, *limit) for limit in kind._restrictions)
    if operator.ge in limits and operator.le in limits:
        return f"from {limits[operator.ge]} to {limits[operator.le]}"
    if operator.ge in limits and operator.lt in limits:
        return f"from {limits[operator.ge]} up to but not including {limits[operator.lt]}"
    return f" {kind._join} ".join(f"{_WORDS[comparison]} {limit}" for comparison, limit in limits.items())


def refusal(kind: type, value: Any) -> str:
    """Return the rest of a sentence about a value that a restricted type refuses.

    Example:
        >>> refusal(PositiveInt, 0), refusal(PositiveInt, "x")
        ('must be at least 1, got 0', "must be a whole number, got 'x'")
    """
    try:
        number = not isinstance(value, bool) and kind._type(value) == value
    except (TypeError, ValueError, OverflowError):  # the last of infinity as a whole number
        number = False
    wanted = requirement(kind) if number else {int: "a whole number", float: "a number"}[kind._type]
    return f"must be {wanted}, got {value!r}"


def _inclusive(kind: type, comparison: Callable, limit: float) -> tuple[Callable, float]:
    """Return a limit of whole numbers as the first one that is allowed."""
    if kind._type is int and comparison is operator.gt:
        return operator.ge, limit + 1
    return comparison, limit


def _checked(init: Callable[..., None]) -> Callable[..., None]:
    parameters = inspect.signature(init)
    hints = functools.cache(lambda: get_type_hints(init))  # not before the module is complete

    @functools.wraps(init)
    def checked(self: CheckedOptions, *arguments: Any, **options: Any) -> None:
        try:
            given = parameters.bind(self, *arguments, **options).arguments
        except TypeError:
            return init(self, *arguments, **options)  # Python's own error names what is missing
        for name, value in given.items():
            given[name] = _plain(self, name, value, hints().get(name), checked)
        bound = inspect.BoundArguments(parameters, given)
        try:
            return init(*bound.args, **bound.kwargs)
        except TypeError as error:
            if fixed := re.search(r"__init__\(\) got multiple values for keyword argument '(\w+)'$", str(error)):
                raise OptionError(
                    fixed[1], f"is no option of {type(self).__name__}, which has a value of its own"
                ) from None
            raise

    return checked


def _check_choice(value: Any, kinds: tuple[Any, ...]) -> str | None:
    """Return the rest of a sentence about a value that is none of the choices of a signature."""
    if kinds == (bool,) and isinstance(value, str):  # a text is true, whatever it says
        return f"must be True or False, got {value!r}"
    choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    others = [kind for kind in kinds if get_origin(kind) is not Literal and kind is not NoneType]
    if not choices or others or value in choices or (value is None and NoneType in kinds):
        return None
    return f"must be one of {', '.join(map(str, choices))}, got {value!r}"


def _constructor_of(owner: CheckedOptions, option: str) -> Callable[..., None]:
    """Return the constructor that says what an option may be: the first of the hierarchy that names it."""
    constructors = (vars(kind)["__init__"] for kind in type(owner).__mro__ if "__init__" in vars(kind))
    return next(init for init in constructors if option in inspect.signature(init).parameters)


def _plain(owner: CheckedOptions, option: str, value: Any, hint: Any, checked: Callable[..., None]) -> Any:
    """Return a number of a restricted type as a plain one: checkpoints hold no others."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kind = next((kind for kind in kinds if hasattr(kind, "_restrictions")), None)
    sentence = _check_choice(value, kinds) if _constructor_of(owner, option) is checked else None
    if sentence is None:
        if kind is None or (value is None and NoneType in kinds):
            return value
        try:
            plain = kind._type(kind(value))
            if abs(plain) < math.inf:
                return plain
            sentence = f"must be a finite number, got {value!r}"
        except (TypeError, ValueError, OverflowError):
            sentence = refusal(kind, value)
    group = type(owner).option_group
    if group is None:
        raise UserError(f"{type(owner).__name__}'s {option} {sentence}.")
    raise OptionError(f"{group}.{option}" if group else option, sentence)
