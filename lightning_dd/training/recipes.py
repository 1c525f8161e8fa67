"""Ways to train a network on a whole training set, in bf16 where the processor has it.

`plain` is the evaluation of DC (arXiv 2006.05929) before its drop: SGD, batches of 256 in a new order each epoch,
without augmentation. It trains the networks of coresets, which papers do not publish.

`fast` takes few epochs: one cycle of the learning rate, Nesterov momentum, crops by up to an eighth of the image and
mirror images. Its batches of images above 64x64 are smaller, for memory's sake.

`dance`, `ncfm`, `dsdm` and `accdd` are the trainings of the official code of these methods (arXiv 2406.01063,
2502.20653; ACM MM 2024; arXiv 2212.06152): a learning rate of 0.01, color and crop, each image by itself, CutMix half
of the time. They differ in the batch, and in whether the learning rate falls to a fifth after two thirds and after five
sixths of the steps. They depart from it in leaving out the last incomplete batch of an epoch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_dd.augmentation import DSA
from lightning_dd.augmentation.crop_flip import CropFlip
from lightning_dd.augmentation.cutmix import cutmix
from lightning_dd.networks import Network
from lightning_dd.rng import generator
from lightning_dd.runtime.compile import compiled
from lightning_dd.runtime.precision import faster_in_bf16
from lightning_dd.training.data import TrainingSet
from lightning_dd.training.loop import train_network

BATCH_SIZE, MOMENTUM, WEIGHT_DECAY = 256, 0.9, 5e-4
SMALLEST_BATCH, PIXELS = 32, 256 * 64**2
LR = {"plain": 0.01, "fast": 0.05}
CUTMIX_LR, CUTMIX, DROP = 0.01, 0.5, 0.2

Recipe = Literal["fast", "plain", "dance", "ncfm", "dsdm", "accdd"]


@dataclass(frozen=True)
class CutMixRecipe:
    """Settings of a training with CutMix.

    Attributes:
        batch_size: images in a mini-batch.
        drops: shares of the steps after which the learning rate falls.
    """

    batch_size: int
    drops: tuple[float, ...] = ()


DROPS = (2 / 3, 5 / 6)
CUTMIX_RECIPES = {
    "dance": CutMixRecipe(64, DROPS),
    "ncfm": CutMixRecipe(128, DROPS),
    "dsdm": CutMixRecipe(256),
    "accdd": CutMixRecipe(64),
}

Tick = Callable[[], object]
"""Called after each mini-batch."""
Augmentation = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""Changes a mini-batch of images and labels, under a CPU generator."""


def steps_per_epoch(recipe: str, data: TrainingSet) -> int:
    """Return the number of mini-batches of an epoch: only `plain` keeps a last incomplete one."""
    whole, rest = divmod(len(data.labels), batch_size(recipe, data))
    return whole + bool(rest) if recipe == "plain" else max(1, whole)


def batch_size(recipe: str, data: TrainingSet) -> int:
    """Return the number of images in a mini-batch."""
    if recipe in CUTMIX_RECIPES:
        return CUTMIX_RECIPES[recipe].batch_size
    if recipe == "plain":
        return BATCH_SIZE
    height, width = data.images.shape[2:]
    return max(SMALLEST_BATCH, min(BATCH_SIZE, PIXELS // (height * width)))


def describe(recipe: str, data: TrainingSet, device: torch.device) -> list[Any]:
    """Return everything that a recipe's result depends on besides data, network, epochs and seed, as plain values."""
    settings = LR.get(recipe, CUTMIX_LR), MOMENTUM, WEIGHT_DECAY, batch_size(recipe, data)
    return [recipe, *settings, recipe != "plain" and data.mirrored, faster_in_bf16(device)]


def train_plain(network: Network, data: TrainingSet, epochs: int, seed: int, tick: Tick) -> Tensor:
    """Train in place; return whether each image was classified rightly in each epoch, `(E, N)`."""
    optimizer = _optimizer(network, LR["plain"])
    right: list[Tensor] = []

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        right.append(logits.argmax(1) == labels)
        tick()
        return F.cross_entropy(logits, labels)

    orders = [_order(data, seed, epoch) for epoch in range(epochs)]
    batches = (data.batch(rows) for order in orders for rows in order.split(BATCH_SIZE))
    train_network(_in_bf16(network), batches, loss, optimizer)
    shown = torch.cat(right).cpu().view(epochs, -1)
    return torch.zeros_like(shown).scatter_(1, torch.stack(orders), shown)


def train_fast(network: Network, data: TrainingSet, epochs: int, seed: int, tick: Tick, compile: bool) -> None:
    """Train in place."""
    optimizer = _optimizer(network, LR["fast"], nesterov=True)
    steps = epochs * steps_per_epoch("fast", data)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR["fast"], steps, cycle_momentum=False)
    crop = CropFlip(min(data.images.shape[2:]) // 8)

    def augment(images: Tensor, labels: Tensor, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        draw = crop.draw(len(images), draws)
        draw[:, 2] *= data.mirrored
        return crop.apply(draw, images), labels

    batches = _batches(data, "fast", epochs, seed, augment, tick)
    classifier = _in_bf16(network, compile)
    train_network(classifier, batches, F.cross_entropy, optimizer, lambda step, _: cycle.step() if step else None)


def train_cutmix(
    network: Network, data: TrainingSet, recipe: str, epochs: int, seed: int, tick: Tick, compile: bool
) -> None:
    """Train in place by one of `CUTMIX_RECIPES`."""
    optimizer = _optimizer(network, CUTMIX_LR)
    steps = epochs * steps_per_epoch(recipe, data)
    drops = [round(share * steps) for share in CUTMIX_RECIPES[recipe].drops]
    dsa = DSA("color+crop")

    def augment(images: Tensor, labels: Tensor, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        images = dsa(images, draws)
        mixed = torch.rand((), generator=draws).item() < CUTMIX
        return cutmix(images, labels, data.num_classes, draws) if mixed else (images, labels)

    def schedule(step: int, optimizer: torch.optim.Optimizer) -> None:
        for group in optimizer.param_groups:
            group["lr"] = CUTMIX_LR * DROP ** sum(step >= drop for drop in drops)

    batches = _batches(data, recipe, epochs, seed, augment, tick)
    train_network(_in_bf16(network, compile), batches, F.cross_entropy, optimizer, schedule)


def _optimizer(network: Network, lr: float, **options: Any) -> torch.optim.SGD:
    return torch.optim.SGD(network.parameters(), lr, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, **options)


def _in_bf16(network: Network, compile: bool = False) -> Callable[[Tensor], Tensor]:
    """Return the network in train mode, which computes in bf16 where the processor has it."""
    device = next(network.parameters()).device
    forward, mixed = compiled(network.train(), compile), faster_in_bf16(device)

    def logits(images: Tensor) -> Tensor:
        # weights change in place, which a cache of their bf16 copies would not notice
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed, cache_enabled=False):
            return forward(images).float()

    return logits


def _batches(
    data: TrainingSet, recipe: str, epochs: int, seed: int, augment: Augmentation, tick: Tick
) -> Iterator[tuple[Tensor, Tensor]]:
    size = min(batch_size(recipe, data), len(data.labels))
    for epoch in range(epochs):
        draws = generator(seed, "features/augmentation", epoch)
        for rows in _order(data, seed, epoch).split(size)[: steps_per_epoch(recipe, data)]:
            yield augment(*data.batch(rows), draws)
            tick()


def _order(data: TrainingSet, seed: int, epoch: int) -> Tensor:
    return torch.randperm(len(data.labels), generator=generator(seed, "features/order", epoch))
