"""Train one network on a small set, and test it on a large one."""

from collections.abc import Callable, Iterator
from itertools import islice

import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from lightning_dd.augmentation import DSA
from lightning_dd.augmentation.dc import DCAugmentation
from lightning_dd.augmentation.frepo import FRePoAugmentation
from lightning_dd.evaluation.protocol import Protocol, RecordedProtocol

DEFAULT_STRATEGY = "color_crop_cutout_flip_scale_rotate"
TEST_CHUNK_ON_CPU = 256  # measured (tools/benchmark.py evaluate)
TEST_CHUNK_ON_GPU = 2048

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


def augmentation_of(protocol: Protocol, strategy: str | None) -> Augmentation | None:
    """Return what a protocol augments with.

    Args:
        protocol: its `augmentation` says which kind; one that repeats a set's own steps augments as they did.
        strategy: DSA operations that the set was distilled with; None takes those of the protocol.
    """
    if isinstance(protocol, RecordedProtocol):
        return DSA(strategy) if strategy else None
    if protocol.augmentation is None:
        return None
    kind, _, operations = protocol.augmentation.partition("_")
    if kind == "dsa":
        return DSA(strategy or operations or DEFAULT_STRATEGY)
    return {"dc": DCAugmentation, "frepo": FRePoAugmentation}[kind](operations)


def train_network(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    protocol: Protocol,
    augment: Augmentation | None,
    generator: torch.Generator,
) -> nn.Module:
    """Train a network in place and return it.

    Args:
        network: fresh, on the device of the images.
        images: `(N, C, H, W)` in the space in which networks are trained.
        labels: as the protocol wants them: `(N,)` class indices, or `(N, num_classes)`.
        protocol: optimizer, loss, learning rate at each step, batch size.
        augment: applied to each mini-batch.
        generator: on CPU; draws the order of the images and their augmentation.
    """
    network.train()
    images, labels = images.detach(), labels.detach()
    total, rate = protocol.num_steps(len(images)), protocol.highest_rate(network, images)
    optimizer = protocol.optimizer(network)
    for step, rows in enumerate(islice(batches(protocol, len(images), generator), total)):
        if protocol.starts_anew(step, len(images)):
            optimizer = protocol.optimizer(network)
        for group in optimizer.param_groups:
            group["lr"] = rate * protocol.rate_factor(step, len(images))
        batch = images[rows] if augment is None else augment(images[rows], generator)
        loss = protocol.loss(network(batch), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


@torch.no_grad()
def accuracy_of(network: nn.Module, images: Tensor, labels: Tensor, chunk: int | None = None) -> float:
    """Return the accuracy of a network in percent.

    Args:
        network: in any mode; it is put into eval mode.
        images: `(N, C, H, W)` in the space in which the network was trained.
        labels: `(N,)` class indices.
        chunk: images in one forward; None takes what was measured as best for the device.
    """
    network.eval()
    chunk = chunk or test_chunk(images.device)
    accuracy = None
    for part, truth in zip(images.split(chunk), labels.split(chunk), strict=True):
        logits = network(part)
        if accuracy is None:
            # each process tests its own networks: a synchronised metric would wait for the others
            num_classes = max(2, logits.shape[1])  # the metric knows no set of one class
            accuracy = MulticlassAccuracy(num_classes, average="micro", sync_on_compute=False).to(logits.device)
        accuracy.update(logits.argmax(1), truth)
    return 100 * accuracy.compute().item()


def test_chunk(device: torch.device) -> int:
    """Return how many images go through a network at once when it is tested."""
    return TEST_CHUNK_ON_CPU if device.type == "cpu" else TEST_CHUNK_ON_GPU


def batches(protocol: Protocol, num_images: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Give the rows of one mini-batch after another, without end."""
    while True:
        yield from protocol.order(num_images, generator).split(protocol.batch_size)
