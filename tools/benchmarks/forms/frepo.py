"""Both forms of FRePo.

The plain form is the algorithm as it reads: features of the whole real batch in one forward, both kernels, a dense
solve, all in float32; a list of networks, each with an Adam of its own. It works on the draws of ours, so that both do
the same work and their gradients can be compared.
"""

from argparse import Namespace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.plain import timed, with_library_operations
from benchmarks.sides import Side
from benchmarks.synthetic import RandomImages
from benchmarks.trainer import fit
from lightning_dd.coresets import random_real
from lightning_dd.data.batches import RealBatches
from lightning_dd.data.sampling import Uniform
from lightning_dd.losses import centered_targets
from lightning_dd.methods import FRePo
from lightning_dd.methods.optimizers import LAMB
from lightning_dd.networks import FRePoNet, NetworkFactory, build
from lightning_dd.rng import generator

REAL_IMAGES = 10_000
POOL_SIZE, MAX_AGE = 10, 100
RIDGE, LEARNING_RATE = 1e-6, 3e-4


def run(side: Side, options: Namespace) -> dict[str, Any]:
    """Return the measurements of one run, and as `answer` the gradient of the images in the first step."""
    data = RandomImages(max(REAL_IMAGES, options.real_batch), options)
    network = partial(FRePoNet, width=options.width, depth=2 if min(options.shape[1:]) < 16 else 3)
    if side.form == "plain":
        data.setup()
        return plain(data, network, options)
    method = FRePo(
        options.ipc,
        network=network,
        real_batch=options.real_batch,
        real_chunk=side.chunk,
        flip=not options.no_flip,
        lr_decay=1.0,
        compile=side.compile,
        num_classes=options.classes,
        image_shape=options.shape,
        seed=options.seed,
    )
    return fit(method, data, side, options)


def plain(data: RandomImages, network: NetworkFactory, options: Namespace) -> dict[str, Any]:
    """Run the algorithm with nothing of ours but network (PyTorch's pooling) and LAMB."""
    device = torch.device(options.device)
    real = data.real_images(torch.arange(len(data.train_labels))).to(device)
    targets = centered_targets(data.train_labels, options.classes).to(device)
    start = random_real(data.train_labels, options.classes, options.ipc, generator(options.seed, "init"))
    images = data.real_images(start).to(device).requires_grad_()
    labels = (targets[start.to(device)] / (options.classes / 10) ** 0.5).requires_grad_()
    batches = RealBatches(data.train_labels, options.classes, Uniform(options.real_batch), options.seed, lambda: 0)
    optimizer = LAMB([images, labels], LEARNING_RATE)
    pool = [_Member(network, number, options) for number in range(POOL_SIZE)]

    def step(iteration: int) -> None:
        rows = batches.draw(iteration).indices.to(device)
        draw = generator(options.seed, "pool/member", iteration)
        member = pool[int(torch.randint(POOL_SIZE, (), generator=draw))]
        optimizer.zero_grad()
        plain_loss(member.frozen(), real[rows], targets[rows], images, labels, not options.no_flip).backward()
        optimizer.step()
        member.advance(images.detach(), labels.detach())

    return timed(step, lambda: images.grad, options)


def plain_loss(network: FRePoNet, real: Tensor, targets: Tensor, images: Tensor, labels: Tensor, flip: bool) -> Tensor:
    """Return the regression's error and the margin of the labels.

    Args:
        network: in eval mode, its weights without gradients.
        real: `(B, C, H, W)`.
        targets: `(B, num_classes)`.
        images: `(N, C, H, W)` synthetic.
        labels: `(N, num_classes)`.
        flip: whether mirrored copies take part.
    """
    margins = labels.topk(2, dim=1).values
    margin = (margins[:, 0] - margins[:, 1]).clamp(max=1 / labels.shape[1]).mean()
    if flip:
        images, labels = torch.cat([images, images.flip(-1)]), torch.cat([labels, labels])
    with torch.no_grad():
        real = network.features(real)
    synthetic = network.features(images)
    kernel = synthetic @ synthetic.T
    identity = torch.eye(len(kernel), device=kernel.device)
    weights = torch.linalg.solve(kernel + RIDGE * kernel.trace() / len(kernel) * identity, labels)
    return 0.5 * (real @ synthetic.T @ weights - targets).square().sum(1).mean() - margin


class _Member:
    """One network of the pool, with an optimizer and an age."""

    def __init__(self, factory: NetworkFactory, number: int, options: Namespace) -> None:
        weights = generator(options.seed, "pool/start", number, options.device)
        self.network = build(factory, options.shape, options.classes, weights, options.device)
        with_library_operations(self.network)
        self.weights = weights
        self.age = number * (MAX_AGE // POOL_SIZE)
        self.adam = torch.optim.Adam(self.network.parameters(), LEARNING_RATE)

    def frozen(self) -> nn.Module:
        return self.network.eval().requires_grad_(False)

    def advance(self, images: Tensor, labels: Tensor) -> None:
        if self.age > MAX_AGE:
            self.network.initialize(self.weights)
            self.adam, self.age = torch.optim.Adam(self.network.parameters(), LEARNING_RATE), 0
            return
        self.network.train().requires_grad_(True)
        self.adam.zero_grad()
        (0.5 * (self.network(images) - labels).square().sum(1).mean()).backward()
        self.adam.step()
        self.age += 1
