"""The classes of each option: listed by `--NAME.help`, and refused where they are only the base of others."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning_dd.app import names
from lightning_dd.errors import UserError

TOPICS: dict[str, Mapping[str, object]] = {
    "model": {name: method.about for name, method in names.METHODS.items()},
    "data": {name: data.about for name, data in names.DATA.items()},
    "network": names.NETWORKS,
    "codec": names.CODECS,
    "networks": names.SOURCES,
}
SHARED = {"model": "Distiller", "data": "ImageData"}
"""The class whose options all share."""
KINDS_OF_CLASSES = {"model": "method", "data": "data set", "networks": "source of networks"}
"""The kind of class that an option takes, where its name is not that."""


def listing(kind: str, option: str) -> str:
    """Return the choices of an option, and how to ask about one of them."""
    lines = [f"  {name:20}{about}" for name, about in TOPICS[kind].items()]
    first = next(iter(TOPICS[kind]))
    return "\n".join([f"{option} is one of", "", *lines, "", f"{option}.help {first} explains the options of one."])


def answer(words: Sequence[str]) -> list[str] | None:
    """Print what there is to choose from where help is asked on an option without a class.

    Args:
        words: the arguments of a command.

    Returns:
        The arguments to go on with, or None where all is said.
    """
    for place, word in enumerate(words):
        option, dot, last = word.rpartition(".")
        kind = option.rpartition(".")[2].lstrip("-")
        named = place + 1 < len(words) and not words[place + 1].startswith("-")
        if not (option.startswith("--") and dot and last == "help") or named or kind not in TOPICS:
            continue
        print(listing(kind, option))
        if kind not in SHARED:
            return None
        print("\nOptions that all share:\n", flush=True)
        return [*words[: place + 1], SHARED[kind], *words[place + 1 :]]
    return list(words)


def refuse_bases(config: Any) -> None:
    """Refuse classes of this package that are the base of others: nothing can be made from them.

    Args:
        config: the parsed configuration of a command.

    Raises:
        UserError: names those that there are.
    """
    options = config.model.get("init_args") or {}
    chosen = {"model": config.model, "data": config.data}
    chosen |= {name: options.get(name) for name in ("network", "codec", "networks")}
    for option, given in chosen.items():
        module, _, name = (getattr(given, "class_path", None) or "").rpartition(".")
        if module.partition(".")[0] == "lightning_dd" and name not in TOPICS[option]:
            kind, known = KINDS_OF_CLASSES.get(option, option), ", ".join(TOPICS[option])
            new = f"a new {kind} stands in app/names.py too"
            raise UserError(f"{name} is what every {kind} is made from, but none itself; there are {known} ({new}).")
