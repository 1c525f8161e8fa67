"""Both forms of DD.

The plain form is the algorithm as it reads: parameters by name, one gradient with its graph for each inner step, the
loss on the whole real batch, and one backward through everything. It works on the draws of ours, so that both do the
same work and their gradients can be compared.
"""

from argparse import Namespace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from benchmarks.plain import timed, with_library_operations
from benchmarks.sides import Side
from benchmarks.synthetic import RandomImages
from benchmarks.tasks.dd import MEMORY
from benchmarks.trainer import fit
from lightning_dd.data.batches import RealBatches
from lightning_dd.data.sampling import Uniform
from lightning_dd.methods import DD
from lightning_dd.networks import AlexCifarNet, ConvNet, DDLeNet, NetworkFactory, build
from lightning_dd.rng import generator
from lightning_dd.unroll import Schedule

LR, BETAS = 0.01, (0.5, 0.999)


def run(side: Side, options: Namespace) -> dict[str, Any]:
    """Return the measurements of one run, and as `answer` the gradient of the images in the first step."""
    data = RandomImages(4 * options.real_batch, options)
    if side.form == "plain":
        data.setup()
        return plain(data, side, options)
    method = DD(
        options.ipc,
        network=_network(side, options),
        real_chunk=side.chunk,
        recompute=side.form == "ours",
        compile=side.compile,
        num_classes=options.classes,
        image_shape=options.shape,
        seed=options.seed,
        **_settings(side, options),
    )
    return fit(method, data, side, options)


def plain(data: RandomImages, side: Side, options: Namespace) -> dict[str, Any]:
    """Run the algorithm with nothing of ours but the network's layout (pooling and normalisation are PyTorch's)."""
    device, settings = torch.device(options.device), _settings(side, options)
    real = data.real_images(torch.arange(len(data.train_labels))).to(device)
    real_labels = data.train_labels.to(device)
    shape = (options.classes * options.ipc, *options.shape)
    images = torch.randn(shape, generator=generator(options.seed, "init")).to(device).requires_grad_()
    size = torch.tensor(settings["step_size"]).expm1().log()
    raw_sizes = size.expand(settings["unroll"]).clone().to(device).requires_grad_()
    schedule = Schedule(options.classes, options.ipc, settings["unroll"], settings["images_per_step"])
    order = schedule.order(0).to(device)
    batches = RealBatches(data.train_labels, options.classes, Uniform(options.real_batch), options.seed, lambda: 0)
    optimizer = torch.optim.Adam([images, raw_sizes], lr=LR, betas=BETAS)

    def step(iteration: int) -> None:
        optimizer.zero_grad()
        rows = batches.draw(iteration).indices.to(device)
        weights = generator(options.seed, "network", iteration, device)
        network = build(_network(side, options), options.shape, options.classes, weights, device)
        with_library_operations(network)
        parameters = _trained(network, images, order, options.ipc, F.softplus(raw_sizes))
        F.cross_entropy(functional_call(network, parameters, real[rows]), real_labels[rows]).backward()
        optimizer.step()

    return timed(step, lambda: images.grad, options)


def _trained(network: nn.Module, images: Tensor, order: Tensor, ipc: int, sizes: Tensor) -> dict[str, Tensor]:
    """Return the parameters after gradient descent on each batch of the order, with the graph of all steps."""
    parameters = dict(network.named_parameters())
    for rows, size in zip(order, sizes, strict=True):
        loss = F.cross_entropy(functional_call(network, parameters, images[rows]), rows // ipc)
        gradients = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
        parameters = {name: p - size * g for (name, p), g in zip(parameters.items(), gradients, strict=True)}
    return parameters


def _settings(side: Side, options: Namespace) -> dict[str, Any]:
    """Return what both forms are told."""
    return {
        "unroll": side.unroll or options.unroll,
        "images_per_step": options.ipc if side.group.startswith(MEMORY) else 1,
        "step_size": 0.02 if options.shape[0] == 1 else 0.001,
        "real_batch": options.real_batch,
    }


def _network(side: Side, options: Namespace) -> NetworkFactory:
    if side.group.startswith(MEMORY):
        return partial(ConvNet, width=options.width)
    return DDLeNet if options.shape[0] == 1 else AlexCifarNet
