"""Evaluation: testing a network, and training one on a distilled set.

A step is one pass over the test images, or one epoch of training.
"""

from argparse import Namespace
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.meter import Meter
from benchmarks.sides import PLAIN, PLAINS, Side, sweep
from benchmarks.synthetic import RandomImages
from benchmarks.worker import common, with_library_operations
from lightning_dd.evaluation.protocols import find_protocol
from lightning_dd.networks import build
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
    work, units = (_train, options.epochs) if side.group == TRAINING else (_test, 1)
    data = RandomImages(options.classes * options.ipc if side.group == TRAINING else options.test_images, options)
    data.setup()
    images = data.real_images(torch.arange(len(data.train_labels))).to(options.device)
    labels, answer = data.train_labels.to(options.device), None
    autocast = torch.autocast(options.device, torch.bfloat16) if side.precision == "bf16-mixed" else nullcontext()
    meter = Meter(options.warmup, images.device, units)
    with autocast:
        meter.tick()
        for number in range(options.warmup + options.steps):
            found = work(side, options, images, labels, number)
            meter.tick()
            answer = found if answer is None else answer
    return {**meter.report(), "answer": answer}


def _test(side: Side, options: Namespace, images: Tensor, labels: Tensor, number: int) -> Tensor:
    """Return the accuracy of a network in percent."""
    test = training.accuracy if side.form == "plain" else partial(accuracy, chunk=side.more.get("chunk"))
    return torch.tensor([test(_network(side, options), images, labels)])


def _train(side: Side, options: Namespace, images: Tensor, labels: Tensor, number: int) -> Tensor:
    """Return the weights of the last layer of a network after its training."""
    protocol = find_protocol("dm", epochs=options.epochs - 1)  # it runs one epoch more
    network, augment, draws = _network(side, options), protocol.augment(None), generator(options.seed, TRAINING, number)
    if side.form == "plain":
        training.train(network, images, labels, options.epochs, protocol.drop_after, augment, draws)
    else:
        protocol.train(network, images, labels, None, augment, draws)
    return network.classifier.weight.detach().cpu()


def _network(side: Side, options: Namespace) -> nn.Module:
    weights = generator(options.seed, "network", 0, options.device)
    factory = common(Side(), options)["network"]
    network = build(factory, options.shape, options.classes, weights, torch.device(options.device))
    return with_library_operations(network) if side.form == "plain" else network
