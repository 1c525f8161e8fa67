"""Ordinary training of a method's network on the synthetic set, between two updates of the images."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def train_on_synthetic(
    parameters: Sequence[nn.Parameter],
    logits: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    epochs: int,
    lr: float,
    batch_size: int,
    generator: torch.Generator,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
) -> None:
    """Train a network in place by plain SGD on shuffled batches.

    Args:
        parameters: of the network.
        logits: the network, or its compiled form.
        images: `(N, C, H, W)` without a graph.
        labels: `(N,)` class indices, or `(N, num_classes)` probabilities.
        epochs: passes over the set.
        lr: learning rate; neither momentum nor weight decay.
        batch_size: images in a step; the last incomplete batch is kept.
        generator: on CPU; draws the order and the augmentation.
        augment: called with each batch and the generator.
    """
    optimizer = torch.optim.SGD(parameters, lr)
    for _ in range(epochs):
        for rows in torch.randperm(len(images), generator=generator).split(batch_size):
            batch = images[rows] if augment is None else augment(images[rows], generator)
            loss = F.cross_entropy(logits(batch), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    optimizer.zero_grad()
