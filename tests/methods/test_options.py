"""Every restricted option of every method refuses what is out of its range, from Python as on the command line."""

import inspect
from typing import get_args, get_type_hints

import pytest

from lightning_dd import methods
from lightning_dd.errors import OptionError

METHODS = [getattr(methods, name) for name in methods.__all__ if not name.endswith("Error") and name != "Distiller"]
NEEDED = {"ipc": 1, "experts": "experts", "folder": "experts"}


def _restricted(method: type) -> list[str]:
    hints = get_type_hints(method.__init__)
    return [
        name for name, hint in hints.items() if any(hasattr(kind, "_restrictions") for kind in (hint, *get_args(hint)))
    ]


@pytest.mark.parametrize(("method", "option"), [(method, name) for method in METHODS for name in _restricted(method)])
def test_a_bad_value_is_one_sentence(method, option):
    given = {name: value for name, value in NEEDED.items() if name in inspect.signature(method.__init__).parameters}
    with pytest.raises(OptionError, match=rf"^{option} must be .*, got -1(\.0)?\.$"):
        method(**{**given, option: -1})


def test_the_command_line_says_it_too(fit, capsys):
    assert fit("--model.real_per_class", "0") == 1
    assert "error: --model.real_per_class must be at least 1, got 0." in capsys.readouterr().err
