"""Evaluate distilled sets under many networks: `evaluate ARTIFACT... --networks ... --protocol ...`.

An artifact is a run's folder, a distilled.safetensors, or a `.pt` file of images and labels as the code of DC, MTT and
DATM writes it. Random real images of the same number stand beside them. The table goes to the screen and into a folder,
where the same command later goes on from the cells that are finished; `report` shows it as a heat map.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from lightning_dd.app import names
from lightning_dd.app.commands import parser

RULES = ("herding", "k_center", "forgetting", "k_means")
ABOUT_SCORES = (
    "LRS, what is left of the lead over random real images with hard labels alone; ARS, with and without augmentation"
)
# a set's own training steps, or a kernel, are nothing that other sets and networks could share
SHARED = tuple(name for name in names.PROTOCOLS if name not in ("dd", "krr"))


def main(arguments: list[str]) -> int:
    """Fill the table and return the exit code.

    Raises:
        UserError: an artifact or the data cannot be used, or an option has no meaning here.
    """
    options = _parser().parse_args(arguments)
    from lightning_dd.app.comparing.table import evaluate
    from lightning_dd.runtime.memory import keep_freed_memory

    keep_freed_memory()
    try:
        _write(*evaluate(options), options, arguments)
    except KeyboardInterrupt:
        print(f"\nStopped; the same command goes on from what is in {options.out}.", file=sys.stderr)
        return 130
    return 0


def _protocol(name: str) -> str:
    if "." not in name and name not in SHARED:
        raise argparse.ArgumentTypeError(f"invalid choice: {name!r} (choose from {', '.join(SHARED)})")
    return name


def _parser() -> argparse.ArgumentParser:
    made = parser("evaluate")
    add = made.add_argument
    add("artifacts", nargs="+", metavar="ARTIFACT", help="a run's folder, a set or its name; or NAME=ARTIFACT")
    add("--networks", nargs="+", default=["ConvNet"], metavar="NETWORK", help="such as ConvNet or AlexNet:norm=batch")
    which = f"one of {', '.join(SHARED)}, or the path of your own, mymodule.MINE"
    add("--protocol", default="common", type=_protocol, metavar="NAME", help=which)
    add("--num_networks", nargs="+", default=["5"], metavar="N", help="fresh networks a cell: 5, or 1 ConvNet=3")
    add("--epochs", type=int, help="in place of the protocol's")
    add("--test_images", type=int, metavar="N", help="only so many, of each class its share")
    add("--coresets", nargs="+", default=[], choices=RULES, metavar="RULE", help=f"rows besides: {', '.join(RULES)}")
    add(
        "--soft_labels",
        action="store_true",
        help="rows besides: random real images and each set, labeled by a network",
    )
    add("--feature_epochs", type=int, default=10, metavar="E", help="training of the network of those rows")
    add("--no_random_real", action="store_true", help="leave random real images out")
    add("--data", metavar="NAME", help="data set, such as CIFAR10; needed where only foreign files are given")
    add("--data.root", dest="root", default="data", metavar="FOLDER", help="where the data are")
    add("--data.zca", dest="zca", choices=("mtt", "frepo"), help="whitening that foreign sets were made under")
    add(
        "--augmentation",
        metavar="OPERATIONS",
        help="DSA operations for sets that do not say theirs, under a protocol that heeds them; default: the others'",
    )
    add("--real_accuracy", type=float, metavar="PERCENT", help="of the whole training set; adds DD-Ranking's scores")
    add("--precision", default="32-true", choices=("32-true", "bf16-mixed"), help="of training and testing networks")
    add("--seed", type=int, default=0, help="of every draw")
    add("--out", type=Path, default=Path("runs/evaluation"), metavar="FOLDER", help="where the table goes")
    return made


def _write(cells: list[Any], scores: list[dict[str, Any]], options: argparse.Namespace, arguments: list[str]) -> None:
    """Print the table and write it in all its forms."""
    import torch

    from lightning_dd.app.comparing.table import device
    from lightning_dd.app.recorded import command_line
    from lightning_dd.artifact.files import atomic, write_json
    from lightning_dd.comparison import tables
    from lightning_dd.runtime.environment import environment

    about = f"{options.protocol} protocol" + (f", {options.epochs} epochs" if options.epochs else "")
    print(f"\naccuracy (%), {about}\n\n{tables.screen(cells)}\n")
    if scores:
        print(f"DD-Ranking's scores, from 0 to 100, more is better: {ABOUT_SCORES}.")
    for row in scores:
        print(f"{row['set']} ({row['labels']} labels), {row['network']}: LRS {row['lrs']:.1f}, ARS {row['ars']:.1f}")
    report = {
        "protocol": options.protocol,
        "epochs": options.epochs,
        "test_images": options.test_images,
        "seed": options.seed,
        "precision": options.precision,
        "command": command_line(["evaluate", *arguments]),
        "cells": [cell.record() for cell in cells],
        "scores": scores,
        "environment": environment(torch.device(device())),
    }
    _note_overwriting(options.out / "evaluation.json", report)
    write_json(options.out / "evaluation.json", report)
    for name, text in (("csv", tables.comma_separated(cells)), ("md", tables.markdown(cells) + "\n")):
        with atomic(options.out / f"evaluation.{name}") as temporary:
            temporary.write_text(text)
    print(f"The table is in {options.out}: evaluation.csv, .json and .md.")


def _note_overwriting(path: Path, report: dict[str, Any]) -> None:
    """Say how to make the table again that another one takes the place of."""
    try:
        before = json.loads(path.read_text())
        lost = {cell["set"] for cell in before["cells"]} - {cell["set"] for cell in report["cells"]}
        command = before["command"]
    except (OSError, ValueError, LookupError, TypeError):  # none of ours
        return
    if lost:
        rows = ", ".join(sorted(lost))
        print(f"The table that was here had {rows} too; its cells are kept, and this shows them: {command}")
