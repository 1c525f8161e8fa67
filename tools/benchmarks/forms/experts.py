"""Both forms of training an expert: one mini-batch of augmented real images, and one step of SGD."""

import functools
import tempfile
from argparse import Namespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.plain import timed, with_library_operations
from benchmarks.sides import Side
from benchmarks.synthetic import RandomImages
from benchmarks.trainer import fit
from lightning_dd.augmentation import DSA
from lightning_dd.methods import Experts
from lightning_dd.networks import ConvNet, build
from lightning_dd.rng import generator

BATCH, LR = 256, 0.01
STRATEGY = "color_crop_cutout_flip_scale_rotate"


class _Expert(Experts):
    """Shows what the first mini-batch made of the weights, as a gradient, to the timer of methods."""

    @property
    def images(self) -> Any:
        return self.weights


def run(side: Side, options: Namespace) -> dict[str, Any]:
    """Return the measurements of one run, and as `answer` the gradient of the weights in the first step."""
    # one batch more than is measured: the end of an epoch, with its snapshot, stays out
    data = RandomImages(BATCH * (options.warmup + options.steps + 1), options)
    if side.form == "plain":
        data.setup()
        return plain(data, options)
    with tempfile.TemporaryDirectory() as folder:
        module = _Expert(
            folder,
            number=1,
            epochs=2,
            network=functools.partial(ConvNet, width=options.width),
            augmentation=STRATEGY,
            compile=side.compile,
            num_classes=options.classes,
            image_shape=options.shape,
            seed=options.seed,
        )
        return fit(module, data, side, options)


def plain(data: RandomImages, options: Namespace) -> dict[str, Any]:
    """Train as everybody does, with nothing of ours but augmentation and the network's layout."""
    device = torch.device(options.device)
    network = build(
        functools.partial(ConvNet, width=options.width),
        options.shape,
        options.classes,
        generator(options.seed, "network", 0, device),
        device,
    )
    with_library_operations(network)
    images, labels = data.real_images(torch.arange(len(data.train_labels))).to(device), data.train_labels.to(device)
    order = torch.randperm(len(labels), generator=generator(options.seed, "expert 0/order", 0))
    optimizer = torch.optim.SGD(network.parameters(), LR)
    augment = DSA(STRATEGY)
    batches = order.to(device).split(BATCH)

    def step(number: int) -> None:
        rows = batches[number]
        batch = augment(images[rows], generator(options.seed, "expert 0/augmentation", number))
        optimizer.zero_grad()
        F.cross_entropy(network(batch), labels[rows]).backward()
        optimizer.step()

    def gradient() -> Tensor:
        return nn.utils.parameters_to_vector([parameter.grad for parameter in network.parameters()])

    return timed(step, gradient, options)
