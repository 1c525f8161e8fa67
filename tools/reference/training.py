"""Networks trained and tested as everybody does: experts (arXiv 2203.11932), and the evaluation of a distilled set."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Batches = Iterable[tuple[Tensor, Tensor]]


def step(network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> None:
    """Take one step along the gradient of the cross-entropy on images `(B, C, H, W)`."""
    optimizer.zero_grad()
    F.cross_entropy(network(images), labels).backward()
    optimizer.step()


def trajectory(network: nn.Module, epochs: Iterable[Batches], lr: float) -> list[Tensor]:
    """Train an expert by plain SGD and return its weights `(W,)` at the start and after each epoch."""
    optimizer = torch.optim.SGD(network.parameters(), lr)
    weights = [nn.utils.parameters_to_vector(network.parameters()).detach().clone()]
    for batches in epochs:
        for images, labels in batches:
            step(network, optimizer, images, labels)
        weights.append(nn.utils.parameters_to_vector(network.parameters()).detach().clone())
    return weights


def train(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    epochs: int,
    drop_after: int,
    augment: Callable[[Tensor, torch.Generator], Tensor],
    draws: torch.Generator,
) -> None:
    """Train on a distilled set; after one epoch the learning rate is a tenth and the momentum starts again."""
    options = {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}
    optimizer = torch.optim.SGD(network.parameters(), **options)
    for epoch in range(epochs):
        for rows in torch.randperm(len(images), generator=draws).split(256):
            step(network, optimizer, augment(images[rows], draws), labels[rows])
        if epoch == drop_after:
            optimizer = torch.optim.SGD(network.parameters(), **{**options, "lr": 0.001})


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the accuracy in percent, in batches of 256."""
    network.eval()
    pairs = zip(images.split(256), labels.split(256), strict=True)
    return 100 * sum((network(part).argmax(1) == truth).sum().item() for part, truth in pairs) / len(images)
