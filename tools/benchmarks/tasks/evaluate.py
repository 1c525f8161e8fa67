"""Evaluation: testing a network, and training one on a distilled set.

A step is one pass over the test images, or one epoch of training.
"""

from argparse import Namespace
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.sides import PLAIN, PLAINS, Side, sweep
from benchmarks.worker import timed, with_library_operations
from lightning_dd.app.costs.synthetic import RandomImages
from lightning_dd.evaluation.protocols import find_protocol
from lightning_dd.networks import ConvNet, build
from lightning_dd.rng import generator
from lightning_dd.training.loop import accuracy
from reference import training

TRAINING = "training"
SIDES = {
    **PLAINS,
    "ours": Side(),
    "ours, bf16": Side(precision="bf16-mixed"),
    "training, default allocator": Side("plain", tuned=False, group=TRAINING),
    "training": Side("plain", group=TRAINING),
    "training, ours": Side(group=TRAINING),
    "training, bf16": Side(precision="bf16-mixed", group=TRAINING),
}
SWEEP = {PLAIN: Side("plain"), **sweep("chunk", 32, 64, 128, 256, 512, 1000, 10_000)}
OPTIONS = {
    "test_images": (10_000, "images that the network is tested on"),
    "epochs": (4, "epochs in one measured training"),
}
DEFAULTS = {"steps": 3, "warmup": 1}


def run(side: Side, options: Namespace) -> dict[str, Any]:
    """Return the measurements of one run, and as `answer` the accuracy, or the last layer after the first training."""
    prepare, units = (_training, options.epochs) if side.group == TRAINING else (_testing, 1)
    data = RandomImages(options.classes * options.ipc if side.group == TRAINING else options.test_images, options)
    data.setup()
    images, labels = data.real_images(torch.arange(len(data.train_labels))), data.train_labels
    work = prepare(side, options, images.to(options.device), labels.to(options.device))
    found: list[Tensor] = []
    autocast = torch.autocast(options.device, torch.bfloat16) if side.precision == "bf16-mixed" else nullcontext()
    with autocast:
        return timed(lambda number: found.append(work(number)), lambda: found[0], options, units)


def _testing(side: Side, options: Namespace, images: Tensor, labels: Tensor) -> Callable[[int], Tensor]:
    """Return what gives the accuracy of a network in percent."""
    test = training.accuracy if side.form == "plain" else partial(accuracy, **side.more)
    network = _network(side, options)
    return lambda number: torch.tensor([test(network, images, labels)])


def _training(side: Side, options: Namespace, images: Tensor, labels: Tensor) -> Callable[[int], Tensor]:
    """Return what trains a network and gives the weights of its last layer."""
    protocol = find_protocol("dm", epochs=options.epochs - 1)  # it runs one epoch more
    augment = protocol.augment(None)

    def train(number: int) -> Tensor:
        network, draws = _network(side, options), generator(options.seed, TRAINING, number)
        if side.form == "plain":
            training.train(network, images, labels, options.epochs, protocol.drop_after, augment, draws)
        else:
            protocol.train(network, images, labels, None, augment, draws)
        return network.classifier.weight.detach()

    return train


def _network(side: Side, options: Namespace) -> nn.Module:
    weights = generator(options.seed, "network", 0, options.device)
    network = build(
        partial(ConvNet, width=options.width), options.shape, options.classes, weights, torch.device(options.device)
    )
    return with_library_operations(network) if side.form == "plain" else network
