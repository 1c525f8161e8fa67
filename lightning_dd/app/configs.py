"""Configs by name: `dm/cifar10_ipc10` is one of the current folder, of the checkout, or of the installed package."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from lightning_dd.artifact.shipped import by_name, folders
from lightning_dd.errors import UserError

OPTIONS = ("-c", "--config")


def configs() -> dict[str, Path]:
    """Return the path of each config by its name, in order."""
    return by_name(".yaml")


def find(name: str) -> Path | None:
    """Return the file of a config that is given as a path or by name; None where there is none."""
    if Path(name).is_file():
        return Path(name)
    relative = Path(name.removeprefix("configs/"))  # as paths stand in documents
    if not relative.name:
        return None
    relative = relative if relative.suffix == ".yaml" else relative.with_name(f"{relative.name}.yaml")
    return next((folder / relative for folder in folders() if (folder / relative).is_file()), None)


def near(name: str) -> str:
    """Return the end of a sentence about an unknown config: the nearest name, or where to find all."""
    known = configs()
    wanted = name.removeprefix("configs/").removesuffix(".yaml")
    found = difflib.get_close_matches(wanted, known, n=1, cutoff=0.75)
    return f"; did you mean {found[0]}" if found else "; the command `list configs` names those that there are"


def with_paths(words: Sequence[str]) -> list[str]:
    """Return the arguments of a command, with the path of each config that is given by name.

    Raises:
        UserError: no name is given.
    """
    found = list(words)
    for place, word in enumerate(found):
        option, equals, name = word.partition("=")
        if option not in OPTIONS:
            continue
        if "" in ([name] if equals else found[place + 1 : place + 2]):
            raise UserError(f"Give a config after {option}: a file, or the name of one (see `list configs`).")
        if equals:
            found[place] = f"{option}={find(name) or name}"
        elif place + 1 < len(found):
            found[place + 1] = str(find(found[place + 1]) or found[place + 1])
    return found
