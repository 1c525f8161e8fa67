"""Both forms of testing a network, of training one, and of training several."""

from argparse import Namespace
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.meter import Meter
from benchmarks.plain import with_library_operations
from benchmarks.sides import Side
from benchmarks.synthetic import RandomImages
from lightning_dd.evaluation.protocols import find_protocol
from lightning_dd.evaluation.stacked import train_stack
from lightning_dd.evaluation.training import accuracy_of, augmentation_of, train_network
from lightning_dd.networks import ConvNet, build
from lightning_dd.rng import generator

PLAIN_BATCH = 256


def run(side: Side, options: Namespace) -> dict[str, Any]:
    """Return the measurements of one run: of passes over the test images, or of epochs."""
    work = {"training": _training, "networks": _several}.get(side.group, _testing)
    with _autocast(side, options):
        return work(side, options)


def _testing(side: Side, options: Namespace) -> dict[str, Any]:
    images, labels = _images(options.test_images, options)
    network = _network(options)
    if side.form == "plain":
        with_library_operations(network)
    test = plain_test if side.form == "plain" else partial(accuracy_of, chunk=side.chunk)
    meter = Meter(options.warmup, images.device)
    meter.begin()
    for _ in range(options.warmup + options.steps):
        accuracy = test(network, images, labels)
        meter.tick()
    return {**meter.report(), "accuracy": accuracy, "answer": torch.tensor([accuracy])}


@torch.no_grad()
def plain_test(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the accuracy in percent, in batches of 256."""
    network.eval()
    correct = 0
    for start in range(0, len(images), PLAIN_BATCH):
        logits = network(images[start : start + PLAIN_BATCH])
        correct += (logits.argmax(1) == labels[start : start + PLAIN_BATCH]).sum().item()
    return 100 * correct / len(images)


def _training(side: Side, options: Namespace) -> dict[str, Any]:
    """Train a fresh network several times; an epoch is a step."""
    images, labels = _images(options.classes * options.ipc, options)
    protocol = find_protocol("dm", epochs=max(1, options.epochs - 1))  # the protocol runs one epoch more
    augment = augmentation_of(protocol, None)
    meter = Meter(options.warmup, images.device, units=protocol.total_epochs)
    meter.begin()
    for number in range(options.warmup + options.steps):
        draws = generator(options.seed, "training", number)
        network = _network(options)
        if side.form == "plain":
            with_library_operations(network)
        train_network(network, images, labels, protocol, augment, draws)
        meter.tick()
    return meter.report()


def _several(side: Side, options: Namespace) -> dict[str, Any]:
    """Train fresh networks several times, in turns or as one stacked model; an epoch of all of them is a step."""
    images, labels = _images(options.classes * options.ipc, options)
    protocol, count = find_protocol("dm", epochs=max(1, options.epochs - 1)), options.networks
    augment = augmentation_of(protocol, None)
    meter = Meter(options.warmup, images.device, units=protocol.total_epochs)
    meter.begin()
    for number in range(options.warmup + options.steps):
        networks = [_network(options, index) for index in range(count)]
        draws = [generator(options.seed, "training", number * count + index) for index in range(count)]
        if side.form == "plain":
            trained = [
                train_network(network, images, labels, protocol, augment, draw)
                for network, draw in zip(networks, draws, strict=True)
            ]
            weights = [trained[index].classifier.weight for index in range(count)]
        else:
            stack = train_stack(networks, [images] * count, [labels] * count, protocol, augment, draws)
            weights = list(stack.stacked[-2])  # of the last layer; its bias comes after
        meter.tick()
    return {**meter.report(), "answer": torch.stack(weights).detach().cpu()}


def _images(count: int, options: Namespace) -> tuple[Tensor, Tensor]:
    data = RandomImages(count, options)
    data.setup()
    return data.real_images(torch.arange(count)).to(options.device), data.train_labels.to(options.device)


def _network(options: Namespace, index: int = 0) -> nn.Module:
    weights = generator(options.seed, "network", index, options.device)
    return build(partial(ConvNet, width=options.width), options.shape, options.classes, weights, options.device)


def _autocast(side: Side, options: Namespace) -> AbstractContextManager:
    return torch.autocast(options.device, torch.bfloat16) if side.precision == "bf16-mixed" else nullcontext()
