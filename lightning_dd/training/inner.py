"""Ordinary training of a method's network on the synthetic set, between two updates of the images."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_dd.training.loop import Augmentation, Classifier, mini_batches, shuffled, train_network


def train_on_synthetic(
    parameters: Sequence[nn.Parameter],
    logits: Classifier,
    images: Tensor,
    labels: Tensor,
    epochs: int,
    lr: float,
    batch_size: int,
    generator: torch.Generator,
    augment: Augmentation | None = None,
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
    rows = shuffled(len(images), batch_size, epochs, generator)
    train_network(logits, mini_batches(images, labels, rows, augment, generator), F.cross_entropy, optimizer)
    optimizer.zero_grad()
