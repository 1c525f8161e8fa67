"""Both forms of a matching step of DC.

The plain form is the algorithm as it reads: for each class, the gradient on its real images, the gradient on its
synthetic images with a graph, their distance; then one backward and one step of SGD. It works on the draws of ours, so
that both do the same work and their gradients can be compared.
"""

from argparse import Namespace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.channels_last import ChannelsLast
from benchmarks.plain import timed, with_library_operations
from benchmarks.sides import Side
from benchmarks.synthetic import RandomImages
from benchmarks.trainer import fit
from lightning_dd.data.batches import RealBatches
from lightning_dd.data.sampling import ClassBalanced
from lightning_dd.methods import DC
from lightning_dd.networks import ConvNet, build
from lightning_dd.rng import generator

IMAGES_PER_CLASS = 600
LEARNING_RATE, MOMENTUM = 0.1, 0.5


def run(side: Side, options: Namespace) -> dict[str, Any]:
    """Return the measurements of one run, and as `answer` the gradient of the images in the first step."""
    data = RandomImages(options.classes * max(IMAGES_PER_CLASS, options.real_per_class), options)
    if side.form == "plain":
        data.setup()
        return plain(data, options)
    method = DC(
        options.ipc,
        real_per_class=options.real_per_class,
        real_chunk=side.chunk,
        class_chunk=side.classes,
        outer_loops=1,
        network=partial(ChannelsLast if side.channels_last else ConvNet, width=options.width),
        lr=LEARNING_RATE,
        momentum=MOMENTUM,
        compile=side.compile,
        num_classes=options.classes,
        image_shape=options.shape,
        seed=options.seed,
    )
    return fit(method, data, side, options)


def plain(data: RandomImages, options: Namespace) -> dict[str, Any]:
    """Run the algorithm class by class, with nothing of ours but the network (with PyTorch's pooling)."""
    device = torch.device(options.device)
    real = data.real_images(torch.arange(len(data.train_labels))).to(device)
    shape = (options.classes * options.ipc, *options.shape)
    synthetic = torch.randn(shape, generator=generator(options.seed, "init")).to(device).requires_grad_()
    sampling = ClassBalanced(options.real_per_class)
    batches = RealBatches(data.train_labels, options.classes, sampling, options.seed, lambda: 0)
    optimizer = torch.optim.SGD([synthetic], lr=LEARNING_RATE, momentum=MOMENTUM)

    def step(iteration: int) -> None:
        weights = generator(options.seed, "network", iteration, device)
        network = build(partial(ConvNet, width=options.width), options.shape, options.classes, weights, device)
        rows = batches.draw(iteration).indices.to(device)
        optimizer.zero_grad()
        plain_loss(with_library_operations(network), real, rows, synthetic, options.ipc).backward()
        optimizer.step()

    return timed(step, lambda: synthetic.grad, options)


def plain_loss(network: nn.Module, real: Tensor, rows: Tensor, synthetic: Tensor, ipc: int) -> Tensor:
    """Return the sum over classes of the distance of gradients.

    Args:
        network: of this step.
        real: `(N, C, H, W)` all real images.
        rows: `(K, B)` which of them are drawn.
        synthetic: `(K * ipc, C, H, W)`.
        ipc: images per class.
    """
    loss = synthetic.new_zeros(())
    for label, members in enumerate(synthetic.split(ipc)):
        goal = _gradients(network, real[rows[label]], label, create_graph=False)
        ours = _gradients(network, members, label, create_graph=True)
        loss = loss + sum(_layer_distance(*pair) for pair in zip(goal, ours, strict=True))
    return loss


def _gradients(network: nn.Module, images: Tensor, label: int, create_graph: bool) -> tuple[Tensor, ...]:
    labels = torch.full((len(images),), label, device=images.device)
    loss = F.cross_entropy(network(images), labels)
    return torch.autograd.grad(loss, list(network.parameters()), create_graph=create_graph)


def _layer_distance(goal: Tensor, ours: Tensor) -> Tensor:
    if goal.ndim == 1:
        return ours.new_zeros(())
    goal, ours = goal.flatten(1), ours.flatten(1)
    return (1 - (goal * ours).sum(1) / (goal.norm(dim=1) * ours.norm(dim=1) + 1e-6)).sum()
