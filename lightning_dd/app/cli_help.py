"""The help of `fit` and `test`: this program's options first, Lightning's `Trainer` options after them."""

import argparse
import re

from jsonargparse import DefaultHelpFormatter

ORDER = ("config", "model", "data", "evaluation", "ckpt_path", "best", "checkpoint", "product", "gallery", "cost")
TITLES = {
    "model": "The method; --model.help lists all, --model.help NAME explains the options of one",
    "data": "The real images; --data.help lists all, --data.help NAME explains the options of one",
    "trainer": "Lightning's Trainer: devices, precision, length of the run and the rest",
    "ckpt_path": "Runs that were stopped or are done",
}
HELP = {
    "config": "a config: a file, or the name of one that `list configs` shows, such as dm/cifar10_ipc10",
    "model": "DM, DC, MTT, ... or your own class, such as mymethods.Mine; its options are --model.ipc and the like",
    "model.help": "list the methods and the options that all share, or explain those of one",
    "data.help": "list the data sets and the options that all share, or explain those of one",
    "evaluation.network.help": "list the networks, or explain the options of one",
    "data": "MNIST, CIFAR10, ImageFolder, ...; its options are --data.root and the like",
    "ckpt_path": "a run's folder, a checkpoint, or `last` for the newest run: `fit` goes on, `test` evaluates",
    "seed_everything": "the seed of every draw (default: 0)",
    "evaluation.network": "ConvNet, ResNet18, ...: the networks to train (default: the one that was distilled with)",
}
HIDDEN = ("Linked arguments",)


class PlainFormatter(DefaultHelpFormatter):
    """A formatter with this program's words for the main options, and without lists of class paths."""

    def _expand_help(self, action: argparse.Action) -> str:
        text = HELP.get(action.dest) or super()._expand_help(action)
        return re.sub(r",? ?known subclasses: [^)]*", "", text)


def arrange(parser: argparse.ArgumentParser) -> None:
    """Sort the groups of options of a command, and name them in this program's words.

    Args:
        parser: of a command, changed in place.
    """
    parser._action_groups = sorted(
        (group for group in parser._action_groups if group.title not in HIDDEN), key=lambda group: _place(_head(group))
    )
    for group in parser._action_groups:
        group.title = TITLES.get(_head(group), group.title)


def _head(group: argparse._ArgumentGroup) -> str:
    """Return the option whose parts a group holds."""
    names = [action.dest.partition(".")[0] for action in group._group_actions if action.dest != "help"]
    return "ckpt_path" if "ckpt_path" in names else next(iter(names), "")


def _place(head: str) -> int:
    if head == "trainer":
        return len(ORDER) + 1
    return ORDER.index(head) if head in ORDER else len(ORDER)
