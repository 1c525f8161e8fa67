"""Both forms of MTT.

The plain form is the algorithm as it reads: one gradient with its graph for each synthetic step, the squared distance
to the expert, and one backward through everything. It works on the draws of ours, so that both do the same work and
their gradients can be compared.
"""

import functools
from argparse import Namespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from benchmarks.plain import timed, with_library_operations
from benchmarks.random_walk import RandomWalk, walking
from benchmarks.sides import Side
from benchmarks.synthetic import RandomImages
from benchmarks.trainer import fit
from lightning_dd.augmentation import DSA
from lightning_dd.coresets import random_real
from lightning_dd.methods import MTT, TESLA
from lightning_dd.networks import ConvNet
from lightning_dd.rng import generator

LR, LR_STEP_SIZE, STEP_SIZE, MOMENTUM = 100.0, 1e-7, 0.01, 0.5
STRATEGY = "color_crop_cutout_flip_scale_rotate"


def run(side: Side, options: Namespace) -> dict[str, Any]:
    """Return the measurements of one run, and as `answer` the gradient of the images in the first step."""
    data = RandomImages(options.classes * max(10, options.ipc), options)
    if side.form == "plain":
        data.setup()
        return plain(data, side, options)
    method, own = (TESLA, {"half_gradient": False}) if side.form == "tesla" else (MTT, {})
    module = walking(method)(
        options.ipc,
        "no folder",
        network=functools.partial(ConvNet, width=options.width),
        synthetic_steps=side.unroll or options.unroll,
        expert_epochs=1,
        max_start_epoch=1,
        recompute=side.form != "graph",
        keep_every=side.chunk or 1,
        compile=side.compile,
        step_size=STEP_SIZE,
        step_size_lr=LR_STEP_SIZE,
        lr=LR,
        augmentation=STRATEGY,
        num_classes=options.classes,
        image_shape=options.shape,
        seed=options.seed,
        **own,
    )
    return fit(module, data, side, options)


def plain(data: RandomImages, side: Side, options: Namespace) -> dict[str, Any]:
    """Run the algorithm with nothing of ours but augmentation and the network's layout."""
    device = torch.device(options.device)
    rows = random_real(data.train_labels, options.classes, options.ipc, generator(options.seed, "init"))
    images = data.real_images(rows).to(device).requires_grad_()
    labels = data.train_labels[rows].to(device)
    step_size = torch.tensor(STEP_SIZE, device=device, requires_grad=True)
    walk = RandomWalk(functools.partial(ConvNet, width=options.width), options.shape, options.classes, options.seed)
    network = with_library_operations(walk.network).to(device)
    start, target = (walk.weights(0, epoch).to(device) for epoch in (0, 1))
    optimizer = torch.optim.SGD(
        [{"params": [images], "lr": LR}, {"params": [step_size], "lr": LR_STEP_SIZE}], momentum=MOMENTUM
    )

    def step(iteration: int) -> None:
        optimizer.zero_grad()
        draws = [generator(options.seed, f"augmentation/{n}", iteration) for n in range(side.unroll or options.unroll)]
        trained = _trained(network, start, images, labels, step_size, draws)
        ((trained - target).square().sum() / (start - target).square().sum()).backward()
        optimizer.step()

    return timed(step, lambda: images.grad, options)


def _trained(
    network: nn.Module,
    start: Tensor,
    images: Tensor,
    labels: Tensor,
    step_size: Tensor,
    draws: list[torch.Generator],
) -> Tensor:
    """Return the weights after gradient descent with the graph of all steps, as one vector."""
    shapes = {name: parameter.shape for name, parameter in network.named_parameters()}
    weights = start.clone().requires_grad_()
    augment = DSA(STRATEGY)
    for draw in draws:
        parts = weights.split([shape.numel() for shape in shapes.values()])
        parameters = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        loss = F.cross_entropy(functional_call(network, parameters, augment(images, draw)), labels)
        (gradient,) = torch.autograd.grad(loss, weights, create_graph=True)
        weights = weights - step_size * gradient
    return weights
