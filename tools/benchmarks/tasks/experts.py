"""Experts: one mini-batch of augmented real images, plain training against ours (a step is a mini-batch)."""

import tempfile
from argparse import Namespace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.sides import OURS, PLAIN, PLAINS, Side
from benchmarks.worker import common, fit, timed, with_library_operations
from lightning_dd.app.costs.synthetic import RandomImages
from lightning_dd.methods import Experts
from lightning_dd.networks import build
from lightning_dd.rng import generator
from reference import training

SIDES = {**PLAINS, **OURS}
SWEEP = {PLAIN: Side("plain")}
OPTIONS = {"batch": (256, "images in a step")}


def run(side: Side, options: Namespace) -> dict[str, Any]:
    """Return the measurements of one run, and as `answer` the gradient of the weights in the first step."""
    # one batch more than is measured: the end of an epoch, with its snapshot, stays out
    data = RandomImages(options.batch * (options.warmup + options.steps + 1), options)
    with tempfile.TemporaryDirectory() as folder:
        settings = {name: value for name, value in common(side, options).items() if name != "ipc"}
        module = Experts(folder, number=1, epochs=2, batch_size=options.batch, **settings)
        if side.form == "plain":
            return plain(module, data, options)
        return fit(module, data, side, options, lambda: module.weights)


def plain(module: Experts, data: RandomImages, options: Namespace) -> dict[str, Any]:
    """Train as everybody does, with nothing of ours but augmentation and the network's layout."""
    data.setup()
    weights = generator(options.seed, "network", 0, options.device)
    network = build(module.network, options.shape, options.classes, weights, torch.device(options.device))
    with_library_operations(network)
    images, labels = data.real_images(torch.arange(len(data.train_labels))), data.train_labels
    images, labels = images.to(options.device), labels.to(options.device)
    order = torch.randperm(len(labels), generator=generator(options.seed, "expert 0/order", 0)).to(options.device)
    optimizer, batches = torch.optim.SGD(network.parameters(), module.lr), order.split(options.batch)

    def step(number: int) -> None:
        rows = batches[number]
        batch = module.augmentation(images[rows], generator(options.seed, "expert 0/augmentation", number))
        training.step(network, optimizer, batch, labels[rows])

    def gradient() -> Tensor:
        return nn.utils.parameters_to_vector([parameter.grad for parameter in network.parameters()])

    return timed(step, gradient, options)
