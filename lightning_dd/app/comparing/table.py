"""The table of distilled sets and networks that `evaluate` fills."""

import argparse
import functools
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch

from lightning_dd.app.comparing.sources import Source, find_data, name_all
from lightning_dd.comparison import tables
from lightning_dd.comparison.candidates import Candidate, RealImages, from_sets, groups, relabeled
from lightning_dd.comparison.cells import Cells
from lightning_dd.comparison.grid import Cell, Conditions, fill
from lightning_dd.comparison.scores import scores
from lightning_dd.data import ImageData
from lightning_dd.data.splits import stratified_sample
from lightning_dd.errors import UserError, check_number
from lightning_dd.evaluation import find_protocol
from lightning_dd.networks import ConvNet
from lightning_dd.networks.named import sample_network
from lightning_dd.rng import generator
from lightning_dd.runtime.precision import Float32Fallback, faster_in_bf16
from lightning_dd.training.data import content_digest, training_set
from lightning_dd.training.features import TrainedFeatures, train_features


def evaluate(options: argparse.Namespace) -> tuple[list[Cell], list[dict[str, Any]]]:
    """Return the table and, where they are asked for, DD-Ranking's scores."""
    counts = counts_of(options.networks, options.num_networks)
    if options.real_accuracy is not None and options.no_random_real:
        raise UserError("--real_accuracy asks for scores, which compare with random real images: leave these in.")
    if options.real_accuracy is not None and not 1 < options.real_accuracy <= 100:
        raise UserError(
            f"--real_accuracy is in percent, above 1 and at most 100, and cannot be {options.real_accuracy:g}."
        )
    check_number("feature_epochs", options.feature_epochs)
    labels = find_protocol(options.protocol, options.epochs).labels
    if options.real_accuracy is not None and labels != "hard":
        raise UserError(f"--real_accuracy asks for scores, which are of hard labels, not of {labels}: use common.")
    sources = [Source.parse(text) for text in options.artifacts]
    infos = [source.info for source in sources]
    data = find_data(infos, options.data, options.root, options.zca, sources[0].image_shape)
    _check_networks(counts, data)
    conditions = _conditions(options, data)
    candidates, beside = _candidates(options, sources, data, conditions)
    cells = Cells(options.out / "cells.json")

    def table(conditions: Conditions, title: str = "") -> list[Cell]:
        return fill(candidates, counts, conditions, cells, _Progress(len(candidates) * len(counts), title))

    own = table(conditions)
    if options.real_accuracy is None:
        return own, []
    augmented = table(replace(conditions, augmented=True), ", with augmentation")
    plain = table(replace(conditions, augmented=False), ", without augmentation")
    return own, scores(own, augmented, plain, beside, options.real_accuracy / 100)


class _Progress:
    """Says each finished cell in a line."""

    def __init__(self, total: int, title: str) -> None:
        self.total, self.title, self.done = total, title, 0

    def __call__(self, cell: Cell, kept: bool) -> None:
        self.done += 1
        name = f"{cell.set} ({cell.labels} labels, IPC {cell.ipc}), {len(cell.accuracies)} x {cell.network}{self.title}"
        time = "finished before" if kept else f"{cell.seconds:.0f} s"
        print(f"{self.done} of {self.total}: {name}: {tables.figure(cell)} ({time})", flush=True)


def counts_of(networks: list[str], numbers: list[str]) -> dict[str, int]:
    """Return how many of each network a cell has: a number is for all, NAME=N for those of a class or for one network.

    Raises:
        UserError: something is not a number, or names no network of the table.
    """
    general, special = 5, {}
    for text in numbers:
        name, _, number = text.rpartition("=")
        if not number.isdecimal() or int(number) < 1:
            raise UserError(f"--num_networks takes a number above 0, or NETWORK=NUMBER, not '{text}'.")
        if not name:
            general = int(number)
        elif name not in networks and name not in [network.partition(":")[0] for network in networks]:
            raise UserError(f"--num_networks names {name}, which is not among --networks.")
        else:
            special[name] = int(number)
    return {name: special.get(name, special.get(name.partition(":")[0], general)) for name in networks}


def _check_networks(names: Iterable[str], data: ImageData) -> None:
    """Refuse a table with networks that do not take the images or options, and name all, before any is trained."""
    wrong = []
    for name in names:
        try:
            sample_network(name, data.image_shape, data.num_classes)
        except UserError as error:
            wrong.append(error.args[0].rstrip("."))
    if wrong:
        raise UserError(f"{'; '.join(wrong)}: change --networks; nothing has been trained.")


def _conditions(options: argparse.Namespace, data: ImageData) -> Conditions:
    images, labels = data.split("test")
    if options.test_images is not None:
        if options.test_images < 1:
            raise UserError(f"--test_images is a number of images, at least 1, and cannot be {options.test_images}.")
        rows = stratified_sample(labels, options.test_images, generator(0, "test images"))
        images, labels = images[rows], labels[rows]
    options.test_images = len(labels)  # for the record: there may be fewer than were asked for
    about = {"epochs": options.epochs, "seed": options.seed, "device": device()}
    if options.precision == "bf16-mixed" and not faster_in_bf16(torch.device(device())):
        print(Float32Fallback.message, flush=True)
        options.precision = "32-true"
    about["mixed"] = options.precision == "bf16-mixed"
    return Conditions(options.protocol, data.name, images, labels, data.num_classes, **about)


def _candidates(
    options: argparse.Namespace, sources: list[Source], data: ImageData, conditions: Conditions
) -> tuple[list[Candidate], dict[tuple[str, int], str]]:
    """Return the rows, the artifacts and the real images beside them, and which random ones are beside which set."""
    protocol = find_protocol(options.protocol)
    if options.soft_labels and protocol.labels not in ("hard", "soft"):
        raise UserError(f"--soft_labels has no meaning under protocol {protocol.name}: use common.")
    strategy = options.augmentation or next((found for source in sources if (found := source.augmentation)), None)
    named = {name: source.sets(data, strategy) for name, source in zip(name_all(sources), sources, strict=True)}
    if len(named) < len(sources):
        raise UserError("Two artifacts have the same name; tell them apart with NAME=ARTIFACT.")
    rows = [row for name, sets in named.items() for row in from_sets(name, sets, protocol.labels)]
    of_artifacts = len(rows)
    about = {"network": "ConvNet", "epochs": options.feature_epochs, "seed": options.seed}
    if options.coresets or options.soft_labels:
        about["learned"] = [content_digest(data.train_images, data.train_labels), data.preprocessing.describe()]
    place, epochs, beside = torch.device(conditions.device), options.feature_epochs, {}

    @functools.cache
    def trained() -> TrainedFeatures:
        return train_features(training_set(data, place), ConvNet, epochs, options.seed, place, data.cache, True)

    kinds = groups(((name, each) for name, sets in named.items() for each in sets), protocol, options.soft_labels)
    numbers = [next(iter(kind.values())).ipc for kind in kinds]
    for kind, ipc in zip(kinds, numbers, strict=True):
        first, like = next(iter(kind.items()))
        real = RealImages(data, like, options.seed, "" if numbers.count(ipc) == 1 else f" (as for {first})")
        random = real.random(protocol.labels)
        beside.update(dict.fromkeys(((name, ipc) for name in kind), random.name))
        rows += [] if options.no_random_real else [random]
        rows += [real.coreset(rule, trained, about, protocol.labels) for rule in options.coresets]
        rows += [real.soft_random(trained, about)] if options.soft_labels else []
    if both := named.keys() & {row.name for row in rows[of_artifacts:]}:
        raise UserError(f"An artifact and the real images beside it are both called {both.pop()}: use NAME=ARTIFACT.")
    if options.soft_labels:
        own = [from_sets(name, sets, "hard")[0] for name, sets in named.items()]
        rows += [relabeled(row, trained, about) for row in own]
    return rows, beside


def device() -> str:
    """Return where networks are trained."""
    return "cuda" if torch.cuda.is_available() else "cpu"
