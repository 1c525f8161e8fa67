"""Both forms of KIP.

The plain form is the algorithm as it reads, in float64: both kernels by the recursion, a dense solve that is
differentiated through, Adam. It works on the draws of ours, so that both do the same work and their gradients can be
compared.
"""

import math
from argparse import Namespace
from typing import Any

import torch
from torch import Tensor

from benchmarks.plain import timed
from benchmarks.sides import Side
from benchmarks.synthetic import RandomImages
from benchmarks.trainer import fit
from lightning_dd.coresets import random_real
from lightning_dd.data.batches import RealBatches
from lightning_dd.data.sampling import ClassBalanced
from lightning_dd.losses import centered_targets
from lightning_dd.methods import KIP
from lightning_dd.rng import generator

RIDGE, LEARNING_RATE = 1e-6, 0.04


def run(side: Side, options: Namespace) -> dict[str, Any]:
    """Return the measurements of one run, and as `answer` the gradient of the images in the first step."""
    data = RandomImages(2 * options.real_batch, options)
    if side.form == "plain":
        data.setup()
        return plain(data, options)
    method = KIP(
        options.ipc,
        depth=options.depth,
        real_batch=options.real_batch,
        real_chunk=side.chunk,
        labels="learned",
        compile=side.compile,
        num_classes=options.classes,
        image_shape=options.shape,
        seed=options.seed,
    )
    return fit(method, data, side, options)


def plain(data: RandomImages, options: Namespace) -> dict[str, Any]:
    """Run the algorithm with nothing of ours but the draws."""
    device = torch.device(options.device)
    real = data.real_images(torch.arange(len(data.train_labels))).to(device)
    targets = centered_targets(data.train_labels, options.classes).to(device)
    start = random_real(data.train_labels, options.classes, options.ipc, generator(options.seed, "init"))
    images = data.real_images(start).to(device).requires_grad_()
    labels = targets[start.to(device)].requires_grad_()
    per_class = options.real_batch // options.classes
    batches = RealBatches(data.train_labels, options.classes, ClassBalanced(per_class), options.seed, lambda: 0)
    optimizer = torch.optim.Adam([images, labels], LEARNING_RATE)

    def step(iteration: int) -> None:
        rows = batches.draw(iteration).indices.flatten().to(device)
        optimizer.zero_grad()
        plain_loss(real[rows], targets[rows], images, labels, options.depth).backward()
        optimizer.step()

    return timed(step, lambda: images.grad, options)


def plain_loss(real: Tensor, targets: Tensor, images: Tensor, labels: Tensor, depth: int) -> Tensor:
    """Return the error of the regression from `(N, C, H, W)` images and `(N, K)` labels to `(B, ...)` real ones."""
    between, kernel = plain_kernel(real, images, depth), plain_kernel(images, images, depth)
    identity = torch.eye(len(kernel), dtype=kernel.dtype, device=kernel.device)
    weights = torch.linalg.solve(kernel + RIDGE * kernel.trace() / len(kernel) * identity, labels.double())
    return 0.5 * (between @ weights - targets).square().mean()


def plain_kernel(first: Tensor, second: Tensor, depth: int) -> Tensor:
    """Return the fully-connected NTK `(N, M)`; equal images are told apart by a hair, for a finite gradient."""
    first, second = first.flatten(1).double(), second.flatten(1).double()
    covariance = 2 * first @ second.T / first.shape[1] + 0.01
    rows, columns = (2 * x.square().mean(1) + 0.01 for x in (first, second))
    kernel = covariance
    for _ in range(depth):
        scale = (rows[:, None] * columns).sqrt()
        cosine = (covariance / scale).clamp(-1 + 1e-12, 1 - 1e-12)
        angle = torch.arccos(cosine)
        covariance = scale / math.pi * (angle.sin() + (math.pi - angle) * cosine) + 0.01
        kernel = covariance + kernel * (math.pi - angle) / math.pi
        rows, columns = rows + 0.01, columns + 0.01
    return kernel
