"""Refusals of other libraries and of the operating system, as sentences of this program."""

import inspect
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from traceback import walk_tb

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_dd.app.cli_errors import sentence
from lightning_dd.errors import UserError
from lightning_dd.runtime.memory import out_of_memory

LONGEST = 300  # characters of what another library says
NAMES = set(inspect.signature(Trainer.__init__).parameters) - {"self"}
ELSEWHERE = {"seed": "seed_everything", "timer": "trainer.max_time"}
"""Options by the modules of Lightning that refuse them without their names."""
BUGS = AttributeError, LookupError, NameError
"""Programming errors; a `ValueError` or `TypeError` of a constructor may be about its arguments."""
RESTORING = "lightning.pytorch.trainer.connectors.checkpoint_connector"


def refusal(error: BaseException) -> UserError | None:
    """Return what a user has to put right, in one sentence; None for an error that is not the user's.

    A library refuses where the error began in its own code. Errors in this package or in a user's are none of these,
    but for those while a checkpoint is restored, which nothing but its content can cause.
    """
    for cause in _chain(error):  # jsonargparse wraps what constructors raise
        if isinstance(cause, UserError):
            return cause
    for cause in _chain(error):
        if out_of_memory(cause) or "Trying to create tensor with negative dimension" in str(cause):
            return UserError("Out of memory before the first step; the data or the synthetic images do not fit.")
    if any(map(_bug, _chain(error))):
        return None
    for rule, causes in ((_of_others, reversed(list(_chain(error)))), (_of_parsers, _chain(error))):
        for cause in causes:  # the first cause says more than what wraps it, unless it is a parser's
            if found := rule(cause):
                return found
    return None


def _bug(error: BaseException) -> bool:
    """Whether it is a mistake in a user's own module, which the parser takes for one in the options."""
    if not isinstance(error, BUGS):
        return False
    installed = {"", "__main__", "lightning_dd", *sys.stdlib_module_names, *packages_distributions()}
    return any(name.partition(".")[0] not in installed for name in _modules(error))


def _of_parsers(error: BaseException) -> UserError | None:
    return UserError(sentence(str(error))) if _library(error) in ("jsonargparse", "yaml") else None


def _of_others(error: BaseException) -> UserError | None:
    where = _modules(error)
    if isinstance(error, OSError) and error.strerror and not where[-1].startswith("torch"):
        if not error.filename:  # TensorBoard's own thread
            return UserError(f"Cannot write a file of the run: {error.strerror}.")
        return UserError(f"Cannot use {_text(str(error.filename))}: {error.strerror}.")
    if RESTORING in where or any(name.endswith("load_state_dict") for name in _functions(error)):
        said = type(error).__name__ if isinstance(error, KeyError) else _first_line(error)
        return UserError(f"The checkpoint does not fit this run, or is damaged: {said}.")
    library = _library(error)
    if library == "pyarrow" or type(error).__module__.startswith("pyarrow"):
        return UserError(f"A Parquet file is damaged ({_first_line(error)}): fetch it again.")
    making_trainer = ("lightning.pytorch.trainer.trainer", "__init__") in zip(where, _functions(error), strict=False)
    if isinstance(error, MisconfigurationException) or library == "lightning" or making_trainer:
        return UserError(_of_lightning(error))
    return None


def _of_lightning(error: BaseException) -> str:
    text = _first_line(error)
    named = next((f"trainer.{word}" for word in re.findall(r"\w+", text) if word in NAMES), None)
    option = ELSEWHERE.get(_modules(error)[-1].rpartition(".")[2], named)
    if option is None:
        return f"Lightning's Trainer refuses one of its options: {text}."
    return f"Lightning refuses {{{option}}}: {text}."


def _first_line(error: BaseException) -> str:
    """Return what an error says, in one line that is not long, without braces and a full stop."""
    text = _text(" ".join(str(error).split())) or type(error).__name__
    if len(text) > LONGEST:
        text = text[:LONGEST].rpartition(" ")[0] + " ..."
    return text.rstrip(". ")


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("{", "(").replace("}", ")")


def _library(error: BaseException) -> str:
    return _modules(error)[-1].partition(".")[0]


def _modules(error: BaseException) -> list[str]:
    return [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)] or [""]


def _functions(error: BaseException) -> list[str]:
    return [frame.f_code.co_name for frame, _ in walk_tb(error.__traceback__)]


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
