"""Config files, looked at before they are parsed: what a parser would take silently, or never end with."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from lightning_dd.app.configs import OPTIONS
from lightning_dd.errors import UserError

LARGEST = 1_000_000  # bytes
MOST_NODES = 100_000  # with every alias written out


def check_configs(words: Sequence[str], groups: Iterable[str]) -> None:
    """Look at every config file that a command names.

    Args:
        words: the arguments of the command.
        groups: parts of a config that are tables of options.

    Raises:
        UserError: a file is no text, has a key twice, refers to itself, or is no table of options.
    """
    for place, word in enumerate(words):
        option, equals, name = word.partition("=")
        if option in OPTIONS:
            given = name if equals else "".join(words[place + 1 : place + 2])
            if given and Path(given).exists():
                _check(Path(given), groups)


def _check(path: Path, groups: Iterable[str]) -> None:
    if not path.is_file():
        raise UserError(f"The config {path} is no file.")
    if path.stat().st_size > LARGEST:
        raise UserError(f"The config {path} is too large for one.")
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except UnicodeDecodeError:
        raise UserError(f"The config {path} is not text in UTF-8: save it as that.") from None
    except RecursionError:
        raise UserError(f"The config {path} is nested too deep.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise UserError(f"The config {path} is not valid YAML{where}; look at its brackets and indentation.") from None
    _Nodes(path).check(root, ())
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"The config {path} is no table of options, such as `model:` and `data:`.")
    for key, value in root.value:
        if key.value in groups and not isinstance(value, yaml.MappingNode):
            raise UserError(f"{key.value} in the config {path} must be a table of options; leave it out for defaults.")


class _Nodes:
    """A walk over the nodes of a config, with every alias written out."""

    def __init__(self, path: Path) -> None:
        self.path, self.seen = path, 0

    def check(self, node: Any, above: tuple[int, ...]) -> None:
        """Raise a `UserError` where a node refers to itself, has a key twice, or where there are too many."""
        self.seen += 1
        if id(node) in above:
            raise UserError(f"The config {self.path} refers to itself (line {node.start_mark.line + 1}).")
        if self.seen > MOST_NODES:
            raise UserError(f"The config {self.path} refers to itself too often: it would be too large.")
        above = (*above, id(node))
        if isinstance(node, yaml.MappingNode):
            self._check_keys(node)
            for _, value in node.value:
                self.check(value, above)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self.check(item, above)

    def _check_keys(self, node: yaml.MappingNode) -> None:
        keys = [key.value for key, _ in node.value]
        for (key, _), name in reversed(list(zip(node.value, keys, strict=True))):
            if key.tag != "tag:yaml.org,2002:str" and key.tag != "tag:yaml.org,2002:merge":
                raise UserError(f"The config {self.path} has a key that is no name (line {key.start_mark.line + 1}).")
            if keys.count(name) > 1:
                raise UserError(f"The config {self.path} has {name} twice (line {key.start_mark.line + 1}).")
