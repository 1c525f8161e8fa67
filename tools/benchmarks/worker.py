"""Measures one side of a method: its plain form in a loop, or the method in the Trainer as users run it."""

import logging
import warnings
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn

from benchmarks.meter import Meter
from benchmarks.sides import Side
from lightning_dd.app.costs.synthetic import RandomImages
from lightning_dd.coresets import random_real
from lightning_dd.data.batches import RealBatches
from lightning_dd.data.sampling import Batch
from lightning_dd.methods import Distiller
from lightning_dd.networks import ConvNet
from lightning_dd.networks.dd_networks import LocalResponseNorm
from lightning_dd.networks.pooling import AveragePool2x2
from lightning_dd.rng import generator


class ChannelsLast(ConvNet):
    """A ConvNet of the same weights with the channels of a pixel side by side, as some convolutions prefer it."""

    def initialize(self, generator: torch.Generator) -> "ChannelsLast":
        """Sample in the usual format first: sampling fills memory in its order, and would give other weights."""
        self.to(memory_format=torch.contiguous_format)
        return super().initialize(generator).to(memory_format=torch.channels_last)


def run(task: Any, side: Side, options: Namespace) -> dict[str, Any]:
    """Return the measurements of one run, and as `answer` the gradient of the images in the first step."""
    method = task.method(side, options)
    sampled = getattr(method.sampling, "batch_size", 0) + options.classes * getattr(method.sampling, "per_class", 0)
    data = RandomImages(max(10_000, 2 * sampled), options)
    if side.form == "plain":
        return plain(task, method, data, options)
    return fit(method, data, side, options, lambda: method.synthetic.codec.images)


def common(side: Side, options: Namespace) -> dict[str, Any]:
    """Return the options that all methods have."""
    return {
        "ipc": options.ipc,
        "network": partial(ChannelsLast if side.channels_last else ConvNet, width=options.width),
        "compile": side.compile,
        "num_classes": options.classes,
        "image_shape": options.shape,
        "seed": options.seed,
        **side.more,
    }


def plain(task: Any, method: Distiller, data: RandomImages, options: Namespace) -> dict[str, Any]:
    """Run the plain form: what is sampled and the layout of the network are ours, so that gradients can be compared.

    Args:
        task: `loss(method, network, batch)` is the plain objective, or parts of it.
        method: has the synthetic set, the optimizer and the source of networks.
        data: the real images; all of them are prepared before the first step.
        options: of the tool.
    """
    data.setup()
    draws, codec, networks = generator(options.seed, "init"), method.synthetic.codec, method.networks
    with torch.no_grad():
        if method.init == "noise":
            codec.start_noise(draws)
        else:
            count = method.synthetic.images_per_class
            codec.start(data.real_images(random_real(data.train_labels, options.classes, count, draws)))
    method.to(options.device)
    real, labels = data.real_images(torch.arange(len(data.train_labels))), data.train_labels
    real, labels = real.to(options.device), labels.to(options.device)
    networks.setup(method.source_context())
    if hasattr(networks, "flat"):
        with_library_operations(networks.flat.network.to(options.device))
    batches = RealBatches(data.train_labels, options.classes, method.sampling, options.seed, lambda: 0)
    optimizer = method.configure_optimizers()

    def step(iteration: int) -> None:
        draw = batches.draw(iteration)
        rows = draw.indices.to(options.device)
        batch = Batch(iteration, draw.classes, real[rows], labels[rows])
        method.iteration = iteration
        network = with_library_operations(networks.at(iteration))
        optimizer.zero_grad()
        loss = task.loss(method, network, batch)
        for part in [loss] if isinstance(loss, Tensor) else loss:
            part.backward()
        optimizer.step()
        networks.update(iteration, method.synthetic, batch)

    return timed(step, lambda: codec.images.grad, options)


def timed(
    step: Callable[[int], None], answer: Callable[[], Tensor], options: Namespace, units: int = 1
) -> dict[str, Any]:
    """Run the warm-up and the measured steps and return what their meter reports, and the answer after the first step.

    Args:
        step: does one, given its number.
        answer: reads what the step left.
        options: of the tool.
        units: how many of what is reported make one step.
    """
    meter, first = Meter(options.warmup, torch.device(options.device), units), None
    meter.tick()
    for iteration in range(options.warmup + options.steps):
        step(iteration)
        meter.tick()
        first = answer().cpu().clone() if first is None else first
    return {**meter.report(), "answer": first}


def fit(
    module: LightningModule,
    data: LightningDataModule,
    side: Side,
    options: Namespace,
    learned: Callable[[], Tensor],
) -> dict[str, Any]:
    """Run a module without evaluation, logging and checkpoints, and return what its meter reports.

    Args:
        module: as users run it.
        data: the data module.
        side: for the precision.
        options: of the tool.
        learned: what has the gradient that the plain form's is compared with.
    """
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    timer = _Timer(Meter(options.warmup, torch.device(options.device)), learned)
    trainer = Trainer(
        accelerator="gpu" if options.device == "cuda" else "cpu",
        devices=1,
        precision=side.precision,
        max_epochs=-1,
        max_steps=options.warmup + options.steps,
        use_distributed_sampler=False,
        callbacks=[timer],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=data)
    return {**timer.meter.report(), "answer": timer.gradient}


class _Timer(Callback):
    """Gives the meter the steps of a run, from the end of one batch to the end of the next."""

    def __init__(self, meter: Meter, learned: Callable[[], Tensor]) -> None:
        self.meter, self.learned = meter, learned
        self.gradient: Tensor | None = None

    def on_train_start(self, *_: object) -> None:
        """Start the first step, which begins with loading a batch."""
        self.meter.tick()

    def on_train_batch_end(self, *_: object) -> None:
        """End a step."""
        self.meter.tick()
        if self.gradient is None:
            self.gradient = self.learned().grad.detach().cpu().clone()


def with_library_operations(network: Any) -> Any:
    """Replace our pooling and normalization by PyTorch's, in place: that ours are quick is a part of what is measured.

    Args:
        network: with its layers in `blocks`; what is no module is left as it is.
    """
    for index, block in enumerate(network.blocks if isinstance(network, nn.Module) else ()):
        if isinstance(block, AveragePool2x2):
            network.blocks[index] = nn.AvgPool2d(2)
        elif isinstance(block, LocalResponseNorm):
            network.blocks[index] = nn.LocalResponseNorm(4, alpha=0.001 / 9, beta=0.75, k=1)
    return network
