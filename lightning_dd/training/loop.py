"""The loop that trains a network on labeled images, and the accuracy of one."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_accuracy

from lightning_dd.data.lazy import Images
from lightning_dd.training.chunks import chunk_size

TESTED_AT_ONCE = 2048  # at most, on a GPU

Augmentation = Callable[[Tensor, torch.Generator], Tensor]
Classifier = Callable[[Tensor], Tensor]
"""Gives logits `(n, num_classes)` of images `(n, C, H, W)`: a network, its compiled form, a kernel regression."""


def train_network(
    network: Classifier,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    schedule: Callable[[int, torch.optim.Optimizer], None] | None = None,
) -> None:
    """Train a network in place, one step a batch.

    Args:
        network: in train mode.
        batches: images `(B, C, H, W)` and labels of each step, made when it needs them.
        loss: called with logits and labels; returns a scalar.
        optimizer: of the network's parameters.
        schedule: called before each step with its index, from 0, and the optimizer.
    """
    for step, (images, labels) in enumerate(batches):
        if schedule is not None:
            schedule(step, optimizer)
        value = loss(network(images), labels)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()


def mini_batches(
    images: Tensor,
    labels: Tensor,
    rows: Iterable[Tensor | slice],
    augment: Augmentation | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield a mini-batch for each tensor of row indices, or slice, augmented under the generator."""
    for chosen in rows:
        yield images[chosen] if augment is None else augment(images[chosen], generator), labels[chosen]


def shuffled(count: int, batch_size: int, epochs: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the rows of each mini-batch, in a new order every epoch; the last incomplete batch is kept."""
    for _ in range(epochs):
        yield from torch.randperm(count, generator=generator).split(batch_size)


@torch.no_grad()
def accuracy(network: Classifier, images: Images, labels: Tensor, chunk: int | None = None) -> float:
    """Return the accuracy in percent, on images `(N, C, H, W)` with labels `(N,)`; a module is put into eval mode.

    One forward takes `chunk` images; None takes as many as suit the device.
    """
    if isinstance(network, nn.Module):
        network.eval()
    chunk = chunk or chunk_size(None, network, images[:TESTED_AT_ONCE])
    logits = torch.cat([network(part) for part in images.split(chunk)])
    num_classes = max(2, logits.shape[1])  # the metric knows no set of one class
    return 100 * multiclass_accuracy(logits.argmax(1), labels, num_classes, average="micro").item()
