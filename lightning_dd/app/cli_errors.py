"""One-sentence errors of the command line and of config files, in place of jsonargparse's.

jsonargparse reports a tree of everything that it tried; a user needs the innermost cause and the nearest valid name.
"""

import argparse
import difflib
import inspect
import os
import re
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

from jsonargparse.typing import registered_types
from lightning.pytorch.cli import LightningArgumentParser
from torch import nn

from lightning_dd.app import configs
from lightning_dd.app.cli_help import PlainFormatter, arrange
from lightning_dd.app.commands import COMMANDS
from lightning_dd.app.help_topics import KINDS_OF_CLASSES, TOPICS
from lightning_dd.errors import UserError
from lightning_dd.runtime.nearest import nearest
from lightning_dd.runtime.options import refusal


class PlainParser(LightningArgumentParser):
    """A parser that raises `UserError` with one sentence in place of printing its usage."""

    def __init__(self, *args: Any, formatter_class: type = PlainFormatter, **kwargs: Any) -> None:
        super().__init__(*args, formatter_class=formatter_class, **kwargs)

    def format_help(self) -> str:
        """Return the help; that of a command in this program's order and words."""
        command = self.prog.split()[-1]
        if command in COMMANDS:
            arrange(self)
            self.description = f"{COMMANDS[command].capitalize()}."
            self.usage = f"{self.prog.replace(' [options]', '')} --config NAME [options]"
        return super().format_help()

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise a `UserError`; nested parsers report to the outermost as usual."""
        if not self.exit_on_error:
            super().error(message, ex)
        raise UserError(sentence(message, self)) from None


def sentence(message: str, parser: argparse.ArgumentParser | None = None) -> str:
    """Return the cause of a parser's message in one sentence, which names options as a `UserError` does.

    Args:
        message: of the parser.
        parser: the parser, for the names of its options.
    """
    path = ".".join(re.findall(r'Parser key "([\w.]+)"', message))
    for pattern, explain in EXPLANATIONS:
        found = re.search(pattern, message)
        if found:
            return explain(found, path, message, parser)
    causes = [line.strip(" -") for line in message.splitlines() if line.strip(" -")]
    causes = [line for line in causes if "NoneType" not in line and not line.startswith(BOILERPLATE)]
    return " ".join(" ".join(causes[:2] or [message]).split())


def _named(path: str) -> str:
    """Return an option for a sentence of a `UserError`: in braces, but for those that belong to the program itself."""
    group, _, rest = path.partition(".")
    if not rest:
        return f"--{path}"
    return "{" + (rest if group == "model" and "." not in rest else path) + "}"


KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}
INSTEAD = {"--optimizer": "--model.lr and --model.momentum", "--lr_scheduler": "--model.lr_decay"}
"""Options of other programs made with Lightning."""
BOILERPLATE = (
    "Does not validate",
    "Subtypes:",
    "Errors:",
    "Given value",
    "Parser key",
    "Problem with given class_path",
)


HINTS = {
    "experts": "the folder of networks trained on the real images, which the method Experts makes first",
    "folder": "where to write the networks; MTT, TESLA and DATM read them by {experts}",
}
"""Explanations of required options whose names are not enough."""


def _unrecognized(found: re.Match, path: str, message: str, parser: Any) -> str:
    name = found[1].split("=")[0]
    if name.partition(".")[0] in INSTEAD:
        return f"There is no option {name}, since each method has its own: see {INSTEAD[name.partition('.')[0]]}."
    head, _, rest = name.lstrip("-").partition(".")
    heads = {option.lstrip("-").partition(".")[0] for option in _options(parser) if "." in option}
    near = difflib.get_close_matches(head, heads, n=1)
    if rest and head not in heads and near:
        return f"There is no option {name}; did you mean --{near[0]}.{rest}."
    if name.lstrip("-") in _parameters("lightning_dd.methods.Distiller"):
        return f"There is no option {name}; did you mean --model.{name.lstrip('-')}."
    return f"There is no option {name}{nearest(name, _options(parser))}."


def _not_of_command(found: re.Match, path: str, message: str, parser: Any) -> str:
    name = f"--{found[1]}"
    return f"There is no option {name}{nearest(name, _options(parser))}."


def _not_of_group(found: re.Match, path: str, message: str, parser: Any) -> str:
    known = [each.rpartition(".")[2] for each in _options(parser) if each.startswith(f"--{found[1]}.")]
    return f"There is no option {_named(f'{found[1]}.{found[2]}')}{nearest(found[2], known)}."


def _not_accepted(found: re.Match, path: str, message: str, parser: Any) -> str:
    paths = re.findall(r"class_path[ =]'([\w.]+)'", message)
    if paths and paths[-1].endswith(".Task"):  # the placeholder of a method
        return (
            f"{_named(f'{path}.{found[1]}')} belongs to a method: give --model NAME before it, for example --model DM."
        )
    if paths and paths[-1].endswith(".ImageData"):  # that of a data set
        example = "for example --data ImageFolder"
        return f"{_named(f'{path}.{found[1]}')} belongs to a data set: give --data NAME before it, {example}."
    known = _parameters(paths[-1]) if paths else ()
    owner = f" of {paths[-1].rsplit('.', 1)[-1]}" if paths else ""
    name = _named(f"{path}.{found[1]}".lstrip("."))
    near = nearest(found[1].partition(".")[0], known, lambda each: _named(f"{path}.{each}".lstrip(".")))
    return f"There is no option {name}{owner}{near}."


def _unknown_class(found: re.Match, path: str, message: str, parser: Any) -> str:
    option = path.rpartition(".")[2]
    kind, (module, _, name) = KINDS_OF_CLASSES.get(option, option), found[1].rpartition(".")
    if not module:
        return f"There is no {kind} '{name}'{nearest(name, TOPICS.get(option, ()))}."
    try:
        found_names = vars(import_module(module)).items()
    except ModuleNotFoundError as error:
        missing = "There is no module" if module.startswith(error.name or "") else f"{module} needs the module"
        return f"{missing} {error.name}; modules are looked for in the current folder and among what is installed."
    except Exception as error:  # whatever the user's own code raises
        return f"The module {module} was found, but cannot be imported: {error}."
    classes = {each: value.__module__ for each, value in found_names if inspect.isclass(value)}
    if name in classes and kind == "network" and issubclass(dict(found_names)[name], nn.Module):
        return (
            f"The network {found[1]} is a module of yours: give {_named(path)} Custom {_named(path)}.name {found[1]}."
        )
    if name in classes:
        return f"The class {name} of the module {module} is no {kind}."
    own = [each for each, home in classes.items() if home == module]
    return f"The module {module} was found, but it has no class {name}{nearest(name, own)}."


def _foreign_network(found: re.Match, path: str, message: str, parser: Any) -> str:
    library = found[1].capitalize()
    return f"Networks of {found[1]} are given by name: {_named(path)} {library} {_named(f'{path}.name')} {found[2]}."


def _wrong_choice(found: re.Match, path: str, message: str, parser: Any) -> str:
    choices = found[1].replace("'", "")
    return f"{_named(path)} must be one of {choices}, got '{found[2]}'."


def _wrong_type(found: re.Match, path: str, message: str, parser: Any) -> str:
    return f"{_named(path)} must be {KINDS.get(found[1], found[1])}, got '{found[2]}'."


def _out_of_range(found: re.Match, path: str, message: str, parser: Any) -> str:
    kinds = {kind.__name__: kind for kind in registered_types.values()}
    value = next(text for text in found.groups()[1:] if text is not None)
    return f"{_named(path)} {refusal(kinds[found[1]], _number(value))}."


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def _wrong_union(found: re.Match, path: str, message: str, parser: Any) -> str:
    literals = [choices.replace("'", "").split(", ") for choices in re.findall(r"typing\.Literal\[(.*?)\]", found[1])]
    choices = ", ".join(dict.fromkeys(word for words in literals for word in words))  # each once, in order
    known = [KINDS[kind] for kind in re.findall(r"<class '(\w+)'>", found[1]) if kind in KINDS]
    if not path:  # a class as a whole
        cause = re.search(r"Errors:\n +- (.+)", message)
        return f"The options of a class do not go together: {cause[1] if cause else found[2]}."
    if choices and not known:
        return f"{_named(path)} must be one of {choices}, got '{found[2]}'."
    known = [choices, *known] if choices else known
    if not known:
        return f"{_named(path)} cannot be '{found[2]}'; --help says what it takes."
    return f"{_named(path)} must be {' or '.join(known)}, got '{found[2]}'."


def _not_yaml(found: re.Match, path: str, message: str, parser: Any) -> str:
    where = re.findall(r"line \d+, column \d+", message)
    return f"A config file is not valid YAML{f' ({where[-1]})' if where else ''}; look at its brackets and indentation."


def _required(found: re.Match, path: str, message: str, parser: Any) -> str:
    if not path:
        return (
            "Give a method and data: --config NAME (see `list configs`; each run has its own), or --model and --data."
        )
    names = found[1].split(", ")
    meant = [f": {HINTS[name]}" for name in names if name in HINTS]
    missing = " and ".join(_named(f"{path}.{name}") for name in names)
    return f"Give {missing}, which has no default{''.join(meant)}."


def _no_command(found: re.Match, path: str, message: str, parser: Any) -> str:
    return "No subcommand given: use `fit` or `test`; --help lists the options of each."


def _no_config(found: re.Match, path: str, message: str, parser: Any) -> str:
    typed = os.path.relpath(found[1])
    return f"There is no config {typed}{configs.near(typed)}."


def _no_group(found: re.Match, path: str, message: str, parser: Any) -> str:
    group = path.rpartition(".")[2]
    known = [option for option in _options(parser) if option.startswith(f"--{group}.") and not option.endswith(".help")]
    example = f", such as {known[0]}" if known else ""
    return f"--{group} is a group of options{example}, and takes no value but a file of them; got '{found[1]}'."


EXPLANATIONS = (
    (r"Unable to load config '([^'\n]*)'", _no_group),
    (r"Expected '(torchvision|timm)\.(?:\w+\.)*(\w+)' to be a", _foreign_network),
    (r"class_path '[\w.]+':\s+unrecognized arguments: --([\w.]+)", _not_accepted),
    (r"unrecognized arguments: (\S+)", _unrecognized),
    (r"Subcommand '\w+' does not accept option '([\w.]+)'", _not_of_command),
    (r"Group '([\w.]+)' does not accept option '([\w.]+)'", _not_of_group),
    (r"Option '([\w.]+)' is not accepted", _not_accepted),
    (r"Key '([\w.]+)' is not expected", _not_accepted),
    (r"Expected a dot import path string: (\S+)", _unknown_class),
    (r"Expected a typing\.Literal\[(.*?)\]\. Got value: (\S+)", _wrong_choice),
    (r"Expected a <class '(?!NoneType)(\w+)'>\. Got value: (.+?)(?:\. Got value: .*)?(?:\n|$)", _wrong_type),
    (
        r"Not of type (\w+): (?:(?!does )(\S+) (?:does not conform|not an? )|.*?'([^'\n]*)'(?:\.|\n|$)|"
        r"[\s\S]*?Given value: (.*?)(?:\. Got value: .*)?(?:\n|$))",  # in a union, the value stands at the end
        _out_of_range,
    ),
    (r"Problems parsing config", _not_yaml),
    (r"the following arguments are required: ([\w.]+\w(?:, [\w.]+\w)*)", _required),
    (r'expected "subcommand"|argument subcommand', _no_command),
    (r"(?:File does not exist|Path is not a file): '([^']+)'", _no_config),
    (r"Expected a path but (\S+) either not accessible or invalid", _unknown_class),
    (r"[\s\S]*Subtypes: \[(.*)\][\s\S]*?Given value: (?:NestedArg\(key='[\w.]+', val=)?'?([^')\n]*)", _wrong_union),
)


def _options(parser: Any) -> list[str]:
    """Return the option strings of a parser and its commands."""
    if parser is None:
        return []
    own = [string for action in parser._actions for string in action.option_strings]
    commands = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return own + [string for action in commands for command in action.choices.values() for string in _options(command)]


def _parameters(class_path: str) -> list[str]:
    """Return the names that a class and its parents take."""
    module, name = class_path.rsplit(".", 1)
    found = getattr(import_module(module), name)
    parents = inspect.getmro(found) if inspect.isclass(found) else [found]
    parameters: dict[str, inspect.Parameter] = {}
    for parent in parents:
        own = inspect.signature(getattr(parent, "__init__", parent)).parameters
        parameters |= own
        if inspect.Parameter.VAR_KEYWORD not in {each.kind for each in own.values()}:
            break  # options of parents do not come through
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return sorted(name for name, each in parameters.items() if each.kind not in variadic and name != "self")
