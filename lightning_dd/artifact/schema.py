"""The forms of tables of plain values: descriptions of distilled sets, records of runs, checkpoints."""

import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lightning_dd.errors import UserError

LARGEST = 2**53  # of a count
LARGEST_JSON = 50_000_000  # characters

Form = Callable[[Any], bool] | dict[str, Any] | list[Any] | tuple[Any, ...] | None
"""A test; a table's forms by key (`name?` may be missing, others may be there); `[form]` of all items; a choice."""


def text(value: Any) -> bool:
    """Whether a value is text that can be printed and written: no control characters, no halves of one."""
    return isinstance(value, str) and not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in value)


def lines(value: Any) -> bool:
    """Whether a value is text, perhaps of several lines."""
    return isinstance(value, str) and text(value.replace("\n", " ").replace("\t", " "))


def digest(value: Any) -> bool:
    """Whether a value is that of `tensor_digest`: it becomes part of a file's name."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{16}", value) is not None


def real(value: Any) -> bool:
    """Whether a value is a number, finite or not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return real(value) and abs(value) < math.inf


def positive(value: Any) -> bool:
    """Whether a value is a finite number above 0."""
    return number(value) and value > 0


def not_negative(value: Any) -> bool:
    """Whether a value is a finite number of at least 0."""
    return number(value) and value >= 0


def percent(value: Any) -> bool:
    """Whether a value is a number from 0 to 100."""
    return number(value) and 0 <= value <= 100


def count(value: Any) -> bool:
    """Whether a value is a whole number from 0 on."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST


def at_least_one(value: Any) -> bool:
    """Whether a value is a whole number from 1 on."""
    return count(value) and value > 0


def table(value: Any) -> bool:
    """Whether a value is a table with names as keys."""
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


SPENT = ("seconds_before?", "operations?", "operations_before?")
CLASS = {"class_path": text, "init_args?": (None, table)}
EVALUATION = {
    "step": count,
    "network": text,
    "network_made_from?": (None, CLASS),
    "protocol": text,
    "epochs": (None, count),
    "split": text,
    "num_networks": at_least_one,
    "accuracy_mean": percent,
    "accuracy_std": not_negative,
    "random_real_mean": (None, percent),
    "random_real_std": (None, not_negative),
    "random_coded_mean?": (None, percent),
    "random_coded_std?": (None, not_negative),
    "spent?": (None, {"seconds?": not_negative, **dict.fromkeys(SPENT, (None, not_negative))}),
}
"""One evaluation in the record of a run."""
INFO = {
    "method?": text,
    "dataset?": text,
    "paper?": text,
    "derived_from?": text,
    "command?": (None, lines),
    "commands?": [lines],
    "ipc?": at_least_one,
    "steps?": count,
    "published_steps?": (None, count),
    "selected?": [text],
    "data_departures?": [text],
    "config?": {"model?": {"class_path?": text, "init_args?": (None, table)}, "data?": CLASS},
    "resolved?": table,
    "evaluations?": [EVALUATION],
    "cost?": (None, table),
    "environment?": table,
}
"""The form of the record in a distilled set."""
COST = dict.fromkeys(("seconds?", "seconds_per_step?", "seconds_loss?", "seconds_networks?"), (None, not_negative))
_ALWAYS = ("method", "dataset", "command", "ipc", "steps", "published_steps", "config", "evaluations")
RECORD = {name.rstrip("?") if name[:-1] in _ALWAYS else name: form for name, form in INFO.items()} | {
    "cost?": (None, {**COST, "peak_memory_bytes?": (None, count)})
}
"""The form of a run's `results.json`."""
TESTED = [{"evaluations": [EVALUATION]}]
"""The form of a run's `test_results.json`: a record for each `test`."""
RECIPE = {
    "protocol?": text,
    "augmentation?": (None, text),
    "network?": (None, CLASS),
    "step_size?": positive,
    "inner?": {"optimizer": text, "momentum?": (None, not_negative)},
    "factor?": at_least_one,
    "crop?": lambda value: isinstance(value, bool),
    "whole?": lambda value: isinstance(value, bool),
    "teacher?": {"network": CLASS, "digest?": digest, "accuracy?": percent, "split?": text},
    "kernel?": {"name": text, "depth": at_least_one, "ridge": not_negative},
}
"""The form of a set's recipe: how networks are trained on it."""


CELL = {"set": text, "labels": text, "ipc": at_least_one, "network": text, "num_networks": at_least_one}
TABLE = {
    "protocol": text,
    "epochs": (None, count),
    "test_images?": (None, count),
    "cells": [CELL | {"accuracy_mean": percent, "accuracy_std": not_negative}],
}
"""The form of `evaluation.json`, which the command `evaluate` writes."""


def check_form(value: Any, form: Form, name: str) -> Any:
    """Return a value that has a form.

    Raises:
        UserError: it has another one; the sentence calls it by its `name`, and names the part that is wrong.
    """
    wrong = misfit(value, form)
    if wrong is not None:
        raise UserError(f"{name} is damaged: {f'its {wrong} is' if wrong else 'it is'} missing or of the wrong kind.")
    return value


def misfit(value: Any, form: Form) -> str | None:
    """Return the place of the first part that has not its form, `""` for the value itself; None where all is right."""
    if form is None:
        return None if value is None else ""
    if isinstance(form, tuple):
        places = [misfit(value, each) for each in form]
        return None if None in places else max(places, key=len)
    if isinstance(form, list):
        return _first(enumerate(value), form[0]) if isinstance(value, list) else ""
    if not isinstance(form, dict):
        return None if form(value) else ""
    if not table(value):
        return ""
    for key, part in form.items():
        if key.rstrip("?") not in value:
            if not key.endswith("?"):
                return key
        elif (place := misfit(value[key.rstrip("?")], part)) is not None:
            return f"{key.rstrip('?')}.{place}".rstrip(".")
    return None


def _first(items: Iterable[tuple[int, Any]], form: Form) -> str | None:
    for index, item in items:
        if (place := misfit(item, form)) is not None:
            return f"{index}.{place}".rstrip(".")
    return None


def parse_json(content: str, name: str) -> Any:
    """Return what JSON says.

    Raises:
        UserError: it is none, is nested too deep or too large; the sentence calls it by its `name`.
    """
    try:
        if len(content) > LARGEST_JSON:
            raise ValueError
        return json.loads(content)
    except (ValueError, RecursionError):
        raise UserError(f"{name} is damaged: it is no JSON.") from None


def read_json(path: Path, form: Form) -> Any:
    """Return the content of a JSON file, which has a form.

    Raises:
        UserError: it cannot be read, or has another form.
    """
    try:
        return check_form(parse_json(path.read_text(encoding="utf-8"), str(path)), form, str(path))
    except UnicodeDecodeError:
        raise UserError(f"{path} is damaged: it is no JSON.") from None
