"""Both forms of testing a network and of training one."""

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
from lightning_dd.networks import ConvNet, build
from lightning_dd.rng import generator
from lightning_dd.training.loop import accuracy

PLAIN_BATCH = 256


def run(side: Side, options: Namespace) -> dict[str, Any]:
    """Return the measurements of one run: of passes over the test images, or of epochs."""
    work = _training if side.group == "training" else _testing
    with _autocast(side, options):
        return work(side, options)


def _testing(side: Side, options: Namespace) -> dict[str, Any]:
    images, labels = _images(options.test_images, options)
    network = _network(options)
    if side.form == "plain":
        with_library_operations(network)
    test = plain_test if side.form == "plain" else partial(accuracy, chunk=side.chunk)
    meter = Meter(options.warmup, images.device)
    meter.begin()
    for _ in range(options.warmup + options.steps):
        percent = test(network, images, labels)
        meter.tick()
    return {**meter.report(), "accuracy": percent, "answer": torch.tensor([percent])}


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
    augment = protocol.augment(None)
    meter = Meter(options.warmup, images.device, units=protocol.total_epochs)
    meter.begin()
    for number in range(options.warmup + options.steps):
        draws = generator(options.seed, "training", number)
        network = _network(options)
        if side.form == "plain":
            with_library_operations(network)
        protocol.train(network, images, labels, None, augment, draws)
        meter.tick()
    return meter.report()


def _images(count: int, options: Namespace) -> tuple[Tensor, Tensor]:
    data = RandomImages(count, options)
    data.setup()
    return data.real_images(torch.arange(count)).to(options.device), data.train_labels.to(options.device)


def _network(options: Namespace) -> nn.Module:
    weights = generator(options.seed, "network", 0, options.device)
    return build(partial(ConvNet, width=options.width), options.shape, options.classes, weights, options.device)


def _autocast(side: Side, options: Namespace) -> AbstractContextManager:
    return torch.autocast(options.device, torch.bfloat16) if side.precision == "bf16-mixed" else nullcontext()
