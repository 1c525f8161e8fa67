"""Errors that a user can cause, each said in one sentence."""

import re
from collections.abc import Callable

_OPTION = re.compile(r"\{(\w+(?:\.\w+)*)\}")

IN_PYTHON = {
    "data.image_size": "image_size",
    "data.root": "the folder's path",
    "trainer.max_steps": "steps",
    "trainer.default_root_dir": "root",
}
"""Options that have another name among the arguments of `lightning_dd.distill`."""


class UserError(Exception):
    """Something that the user can put right.

    The message is one plain sentence that says what was wrong and what to do. It names options in braces: `{lr}` is one
    of the method, `{model.network.width}` one of its parts, `{evaluation.epochs}` one of a group. The entry points
    spell them as the user gave them: the command line prints the sentence without a traceback and ends with a non-zero
    exit code.
    """

    def __str__(self) -> str:
        return self.worded(lambda option: IN_PYTHON.get(option, option.removeprefix("model.")))

    def worded(self, spell: Callable[[str], str]) -> str:
        """Return the sentence with every option as `spell` writes its name."""
        return _OPTION.sub(lambda found: spell(found[1]), super().__str__())


class OptionError(UserError):
    """An option has a value that cannot be used.

    Args:
        option: its name: `ipc` of the method, `evaluation.epochs` of a group.
        sentence: what is wrong, as it follows the name, without a full stop: `must be at least 1, got 0`.
    """

    def __init__(self, option: str, sentence: str) -> None:
        super().__init__(f"{{{option}}} {sentence}.")
        self.option = option


def check_number(option: str, value: int | None, largest: int | None = None) -> None:
    """Refuse a number below 1 or above the largest; None is none.

    Raises:
        OptionError: names the option.
    """
    if value is not None and not hasattr(value, "__index__"):
        raise OptionError(option, f"must be a whole number, got {value!r}")
    if value is not None and (value < 1 or (largest is not None and value > largest)):
        limits = "at least 1" if largest is None else f"from 1 to {largest}"
        raise OptionError(option, f"must be {limits}, got {value}")
