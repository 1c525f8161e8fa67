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
        own = _places(option, found[after:])
        named = [found[after + place] for places in own.values() for place in places]
        if not own[True] or any(".help" in word for word in named):
            continue
        with suppress(UserError):
            made = _parser(option).parse_args(named)[option]
            if isinstance(made, Namespace):
                left = [word for place, word in enumerate(found[after:]) if place not in {*own[True], *own[False]}]
                found[after:] = [*left, f"--{option}", json.dumps(made.as_dict(), default=str)]
    return found


def _places(option: str, words: Sequence[str]) -> dict[bool, list[int]]:
    """Return where words name a part's class (True), and where they give its options (False), values included."""
    found: dict[bool, list[int]] = {True: [], False: []}
    for place, word in enumerate(words):
        key, equals, _ = word.partition("=")
        if key == f"--{option}" or key.startswith(f"--{option}."):
            found[key == f"--{option}"] += [place] if equals else range(place, min(place + 2, len(words)))
    return found


def _parser(option: str) -> PlainParser:
    parser = PlainParser()
    parser.add_argument(f"--{option}", type=PARTS[option.rpartition(".")[2]] | None)
    return parser
