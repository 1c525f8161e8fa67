"""Ways to train a network on a whole training set.

`plain` is the evaluation of DC (arXiv 2006.05929) before its drop: SGD, batches of 256 in a new order each epoch, in
float32 and without augmentation. It trains the networks of coresets, which papers do not publish.

`fast` takes few epochs: one cycle of the learning rate, Nesterov momentum, crops by up to an eighth of the image and
mirror images, in bf16 where the processor has it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_dd.augmentation.crop_flip import CropFlip
from lightning_dd.networks import Network
from lightning_dd.rng import generator
from lightning_dd.runtime.compile import compiled
from lightning_dd.runtime.precision import has_bf16
from lightning_dd.training.data import TrainingSet
from lightning_dd.training.loop import train_network

BATCH_SIZE, MOMENTUM, WEIGHT_DECAY = 256, 0.9, 5e-4
LR = {"plain": 0.01, "fast": 0.05}

Tick = Callable[[], object]
"""Called after each mini-batch."""


def steps_per_epoch(recipe: str, data: TrainingSet) -> int:
    """Return the number of mini-batches of an epoch: `fast` leaves out a last incomplete one."""
    whole, rest = divmod(len(data.labels), BATCH_SIZE)
    return max(1, whole) if recipe == "fast" else whole + bool(rest)


def describe(recipe: str, data: TrainingSet, device: torch.device) -> list[Any]:
    """Return everything that a recipe's result depends on besides data, network, epochs and seed, as plain values."""
    shared = [recipe, LR[recipe], MOMENTUM, WEIGHT_DECAY, BATCH_SIZE]
    return [*shared, data.mirrored, has_bf16(device)] if recipe == "fast" else shared


def train_plain(network: Network, data: TrainingSet, epochs: int, seed: int, tick: Tick) -> Tensor:
    """Train in place; return whether each image was classified rightly in each epoch, `(E, N)`."""
    optimizer = torch.optim.SGD(network.parameters(), LR["plain"], momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    right: list[Tensor] = []

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        right.append(logits.argmax(1) == labels)
        tick()
        return F.cross_entropy(logits, labels)

    orders = [_order(data, seed, epoch) for epoch in range(epochs)]
    batches = (data.batch(rows) for order in orders for rows in order.split(BATCH_SIZE))
    train_network(network.train(), batches, loss, optimizer)
    shown = torch.cat(right).cpu().view(epochs, -1)
    return torch.zeros_like(shown).scatter_(1, torch.stack(orders), shown)


def train_fast(network: Network, data: TrainingSet, epochs: int, seed: int, tick: Tick, compile: bool) -> None:
    """Train in place."""
    device = next(network.parameters()).device
    batch_size = min(BATCH_SIZE, len(data.labels))
    optimizer = torch.optim.SGD(
        network.parameters(), LR["fast"], momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True
    )
    steps = steps_per_epoch("fast", data)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR["fast"], epochs * steps, cycle_momentum=False)
    forward, mixed = compiled(network.train(), compile), has_bf16(device)
    crop = CropFlip(min(data.images.shape[2:]) // 8)

    def logits(images: Tensor) -> Tensor:
        # weights change in place, which a cache of their bf16 copies would not notice
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed, cache_enabled=False):
            return forward(images).float()

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for epoch in range(epochs):
            draws = generator(seed, "features/augmentation", epoch)
            for rows in _order(data, seed, epoch).split(batch_size)[:steps]:
                draw = crop.draw(batch_size, draws)
                draw[:, 2] *= data.mirrored
                images, labels = data.batch(rows)
                yield crop.apply(draw, images), labels
                tick()

    train_network(logits, batches(), F.cross_entropy, optimizer, lambda step, _: cycle.step() if step else None)


def _order(data: TrainingSet, seed: int, epoch: int) -> Tensor:
    return torch.randperm(len(data.labels), generator=generator(seed, "features/order", epoch))
