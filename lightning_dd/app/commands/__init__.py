"""The commands, one file each but for `fit` and `test`, which are LightningCLI's; each imports what it needs."""

import argparse
import difflib
import os
import sys
from importlib import import_module
from typing import Any, NoReturn

from lightning_dd.app.help_topics import answer
from lightning_dd.errors import UserError
from lightning_dd.version import __version__

PROGRAM = "python -m lightning_dd"
COMMANDS = {
    "fit": "learn synthetic images, then train networks on them and test these on real ones",
    "test": "evaluate the result of a run again, under another protocol or with another network",
    "evaluate": "compare distilled sets, whoever made them, under many networks",
    "report": "write runs as one HTML page: images, accuracies, cost, config",
    "cost": "measure time and memory of methods at growing numbers of images",
    "show": "say what a distilled set is, and how to train on it",
    "export": "write a distilled set as other programs read it",
    "push": "upload a distilled set to the Hugging Face hub, with a card",
    "list": "list methods, data, networks, protocols, configs or distilled sets",
    "cache": "say what is kept on disk between runs, or clear it",
}
LIGHTNING = ("fit", "test")
OVERVIEW = f"""\
usage: {PROGRAM} COMMAND ...   (or: lightning-dd COMMAND ...)

Dataset distillation: learn a few synthetic images that train a network nearly as well as the whole data set.

commands:
{{commands}}

COMMAND --help says more of a command, --version which version this is. A first run, without downloads:

  {PROGRAM} fit --config quickstart
"""


def main(words: list[str]) -> int:
    """Run a command.

    Args:
        words: the arguments of the program.

    Returns:
        The exit code; an error that a user can fix is one sentence on standard error.
    """
    name, *rest = words or ["--help"]
    if name in ("-h", "--help"):
        print(OVERVIEW.format(commands="\n".join(f"  {name:10}{text}" for name, text in COMMANDS.items())), end="")
        return 0
    if name == "--version":
        print(__version__)
        return 0
    try:
        if name not in COMMANDS:
            raise UserError(_unknown(name))
        if name in LIGHTNING:
            return _lightning(words)
        return import_module(f"{__name__}.{name}").main(rest)
    except UserError as error:
        return _fail(error)
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `list configs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more
        return 0
    except Exception as error:
        from lightning_dd.app.refusals import refusal  # imports Lightning, which most commands do without

        if (found := refusal(error)) is None:
            raise
        return _fail(found)


def _fail(error: UserError) -> int:
    text = " ".join(error.worded(_flag).split())
    print(f"error: {text}{'' if text.endswith(('.', '?')) else '.'}", file=sys.stderr)
    return 1


def _flag(option: str) -> str:
    """Return an option of another room as these commands spell it: `--epochs` for `evaluation.epochs`."""
    return f"--{option}" if option.startswith("data.") else f"--{option.rpartition('.')[2]}"


def parser(name: str, **more: Any) -> argparse.ArgumentParser:
    """Return the parser of a command, described by the docstring of its file."""
    about = import_module(f"{__name__}.{name}").__doc__
    shape = argparse.RawDescriptionHelpFormatter
    return _Parser(f"{PROGRAM} {name}", description=about, formatter_class=shape, **more)


class _Parser(argparse.ArgumentParser):
    """A parser that raises a `UserError` in place of printing its usage."""

    def error(self, message: str) -> NoReturn:
        """Raise a `UserError`; it says where the options are listed."""
        name = self.prog.rpartition(" ")[2]
        raise UserError(f"{message[:1].upper()}{message[1:].rstrip('.')}; `{name} --help` lists all options.")


def _lightning(words: list[str]) -> int:
    if (asked := answer(words)) is None:
        return 0
    from lightning_dd.app import cli

    return cli.main(asked)


def _unknown(name: str) -> str:
    if name.startswith("-"):
        return f"A command comes before its options: one of {', '.join(COMMANDS)}."
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}."
    return f"There is no command '{name}'; {hint}"
