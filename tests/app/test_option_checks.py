"""Every option with a range: constructors and the parser refuse it alike; no flag is named outside the command line."""

import ast
import inspect
import re
from pathlib import Path
from types import UnionType
from typing import get_args, get_origin, get_type_hints

import pytest

import lightning_dd
from lightning_dd.app import cli  # noqa: F401  (imports every class that has options)
from lightning_dd.app.cli_errors import PlainParser
from lightning_dd.errors import OptionError, UserError
from lightning_dd.runtime.options import CheckedOptions

PACKAGE = Path(lightning_dd.__file__).parent


def _restricted(hint):
    kinds = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    return next((kind for kind in kinds if hasattr(kind, "_restrictions")), None)


def _refuses(kind, value):
    try:
        kind(value)
    except ValueError:
        return True
    return False


def _classes(parent=CheckedOptions):
    for child in parent.__subclasses__():
        if child.__module__.startswith("lightning_dd.") and "__init__" in vars(child):
            yield child
        yield from _classes(child)


def _options():
    """Return classes, options of theirs with a range, and a value outside of it."""
    for owner in dict.fromkeys(_classes()):
        for name, hint in get_type_hints(owner.__init__).items():
            if kind := _restricted(hint):
                yield owner, name, next(value for value in (-1, 0, 2) if _refuses(kind, value))


OPTIONS = list(_options())


def test_the_options_are_found():
    found = {f"{owner.__name__}.{name}" for owner, name, _ in OPTIONS}
    assert found >= {"ReplicaSyncCheck.every_n_steps", "Evaluation.epochs", "ImageData.held_out", "ConvNet.depth"}


@pytest.mark.parametrize(("owner", "name", "value"), OPTIONS, ids=[f"{o.__name__}.{name}" for o, name, _ in OPTIONS])
def test_a_value_out_of_range(owner, name, value):
    hints = get_type_hints(owner.__init__)
    parameters = inspect.signature(owner).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    others = {each for each in needed if not _restricted(hints[each])}
    options = dict.fromkeys([each for each in needed if each not in others], 1) | {name: value}
    with pytest.raises(UserError) as python:
        owner(**options, **dict.fromkeys(others))
    assert isinstance(python.value, OptionError) == (owner.option_group is not None)
    assert str(python.value).endswith(f", got {value}.")

    parser = PlainParser()
    parser.add_class_arguments(owner, "group", skip=others)
    with pytest.raises(UserError) as parsed:
        parser.parse_object({"group": options})
    said = str(python.value).partition(f"{name} ")[2]
    assert str(parsed.value) == f"group.{name} {said}"


def test_no_flag_below_the_entry_points():
    """Errors name options in braces; a flag in a string would be wrong from Python."""
    named = []
    for path in PACKAGE.rglob("*.py"):
        if "app" in path.relative_to(PACKAGE).parts:
            continue
        tree = ast.parse(path.read_text())
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        strings = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        named += [f"{path.name}: {s.value}" for s in strings if id(s) not in docs and re.search("--[a-z]", s.value)]
    assert sorted(named) == ["environment.py: --always", "environment.py: --quiet"]  # git's
