"""Parts of a run that are named by class: the network, how images are stored, where networks come from."""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from jsonargparse import Namespace

from lightning_dd.app.cli_errors import PlainParser
from lightning_dd.artifact.codecs import CodecFactory
from lightning_dd.errors import UserError
from lightning_dd.networks import NetworkFactory
from lightning_dd.training.sources import NetworkSource

PARTS = {"codec": CodecFactory, "network": NetworkFactory, "networks": NetworkSource}
"""Options that a config names by class."""

OPTIONS = ("model.codec", "model.network", "model.networks", "evaluation.network")


def made(name: str, value: Any) -> Any:
    """Return what a name, or a `class_path` with `init_args`, stands for; another value as it is.

    Args:
        name: of the option, one of `PARTS`.
        value: as it was given from Python.
    """
    if not isinstance(value, str | dict):
        return value
    parser = _parser(f"model.{name}")
    return parser.instantiate_classes(parser.parse_object({"model": {name: value}})).model[name]


def with_own_defaults(words: Sequence[str]) -> list[str]:
    """Return the arguments of a command, with all options of each part that is named after the configs.

    The parser would leave it those that a config gives another class, where both have options of the same names: the
    normalization of a network, for one.

    Args:
        words: the arguments as given; what cannot be read stays as it is, for the parser to say so.
    """
    found = list(words)
    for option in OPTIONS:
        configs = [place for place, word in enumerate(found) if word.partition("=")[0] in ("-c", "--config")]
        after = max(configs, default=-1) + 1
        named, options, others = _sorted_out(option, found[after:])
        if not named or any(".help" in word for word in options):
            continue
        with suppress(UserError):
            part = _parser(option).parse_args(named + options)[option]
            if isinstance(part, Namespace):
                found[after:] = [*others, f"--{option}", json.dumps(part.as_dict(), default=str)]
    return found


def _sorted_out(option: str, words: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Return the words that name a part's class, those of its options, each with its value, and the others."""
    found: tuple[list[str], list[str], list[str]] = [], [], []
    rest = list(words)
    while rest:
        key, equals, _ = rest[0].partition("=")
        kind = 0 if key == f"--{option}" else 1 if key.startswith(f"--{option}.") else 2
        length = 1 if equals or kind == 2 else 2
        found[kind].extend(rest[:length])
        rest = rest[length:]
    return found


def _parser(option: str) -> PlainParser:
    parser = PlainParser()
    parser.add_argument(f"--{option}", type=PARTS[option.rpartition(".")[2]] | None)
    return parser
