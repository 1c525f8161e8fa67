"""Answers to `--NAME.help` that names no class: what there is to choose from."""

from collections.abc import Mapping, Sequence

from lightning_dd.app import names

TOPICS: dict[str, Mapping[str, object]] = {
    "model": {name: method.about for name, method in names.METHODS.items()},
    "data": {name: data.about for name, data in names.DATA.items()},
    "network": names.NETWORKS,
    "codec": names.CODECS,
    "networks": names.SOURCES,
}
SHARED = {"model": "Distiller", "data": "ImageData"}
"""The class whose options all share."""


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
