"""Both forms of DM.

The plain form is the algorithm as it reads: for each class, one operation on its real and its synthetic images, a
forward of each, the squared distance of the means; then one backward and one step of SGD. It works on the draws of
ours, so that both do the same work and their gradients can be compared.
"""

from argparse import Namespace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.channels_last import ChannelsLast
from benchmarks.plain import timed, with_library_operations
from benchmarks.sides import Side
from benchmarks.synthetic import RandomImages
from benchmarks.trainer import fit
from lightning_dd.augmentation import DSA
from lightning_dd.coresets import random_real
from lightning_dd.data.batches import RealBatches
from lightning_dd.data.sampling import ClassBalanced
from lightning_dd.methods import DM
from lightning_dd.networks import ConvNet, build
from lightning_dd.rng import generator

IMAGES_PER_CLASS = 1000
STRATEGY = "color_crop_cutout_flip_scale_rotate"
MOMENTUM = 0.5


def run(side: Side, options: Namespace) -> dict[str, Any]:
    """Return the measurements of one run, and as `answer` the gradient of the images in the first step."""
    data = RandomImages(options.classes * max(IMAGES_PER_CLASS, options.real_per_class), options)
    if side.form == "plain":
        data.setup()
        return plain(data, options)
    method = DM(
        options.ipc,
        real_per_class=options.real_per_class,
        real_chunk=side.chunk,
        augmentation=STRATEGY,
        network=partial(ChannelsLast if side.channels_last else ConvNet, width=options.width),
        lr=1.0,
        momentum=MOMENTUM,
        compile=side.compile,
        num_classes=options.classes,
        image_shape=options.shape,
        seed=options.seed,
    )
    return fit(method, data, side, options)


def plain(data: RandomImages, options: Namespace) -> dict[str, Any]:
    """Run the algorithm class by class, with nothing of ours but augmentation and network (PyTorch's pooling)."""
    device = torch.device(options.device)
    real = data.real_images(torch.arange(len(data.train_labels))).to(device)
    start = random_real(data.train_labels, options.classes, options.ipc, generator(options.seed, "init"))
    synthetic = data.real_images(start).to(device).requires_grad_()
    batches = RealBatches(
        data.train_labels, options.classes, ClassBalanced(options.real_per_class), options.seed, lambda: 0
    )
    optimizer = torch.optim.SGD([synthetic], lr=1.0, momentum=MOMENTUM)

    def step(iteration: int) -> None:
        optimizer.zero_grad()
        rows = batches.draw(iteration).indices.to(device)
        plain_loss(real, rows, synthetic, iteration, options).backward()
        optimizer.step()

    return timed(step, lambda: synthetic.grad, options)


def plain_loss(real: Tensor, rows: Tensor, synthetic: Tensor, iteration: int, options: Namespace) -> Tensor:
    """Return the sum over classes of the squared distance of mean features.

    Args:
        real: `(N, C, H, W)` all real images.
        rows: `(K, B)` which of them are drawn.
        synthetic: `(K * ipc, C, H, W)`.
        iteration: what the draws are keyed with.
        options: of the tool.
    """
    weights = generator(options.seed, "network", iteration, real.device)
    network = build(partial(ConvNet, width=options.width), options.shape, options.classes, weights, real.device)
    network.requires_grad_(False)
    with_library_operations(network)
    augmentation = DSA(STRATEGY)
    draws = generator(options.seed, "augmentation", iteration)
    draw = augmentation.draw(options.classes, draws, options.shape[1:]).to(real.device)
    loss = synthetic.new_zeros(())
    for label, members in enumerate(synthetic.split(options.ipc)):
        pair = augmentation.siamese(real[rows[label]][None], members[None], draw[[label]])
        real_mean, synthetic_mean = (network.features(images[0]).mean(0) for images in pair)
        loss = loss + (real_mean - synthetic_mean).square().sum()
    return loss
