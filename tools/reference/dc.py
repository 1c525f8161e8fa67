"""DC (arXiv 2006.05929) and DSA (2102.08259): match gradients on real and synthetic images, class by class."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def loss(
    network: nn.Module,
    labels: Iterable[int],
    real: Iterable[Tensor],
    synthetic: Iterable[Tensor],
    augment: Callable[[int, Tensor], Tensor] | None = None,
) -> Tensor:
    """Return the sum over classes of the distance between the gradients of the network's weights.

    Args:
        network: of this step.
        labels: the class indices.
        real: `(B, C, H, W)` for each class.
        synthetic: `(n, C, H, W)` for each class.
        augment: called with the place of the class and images.
    """
    total = 0
    for place, (label, *pair) in enumerate(zip(labels, real, synthetic, strict=True)):
        theirs, ours = pair if augment is None else (augment(place, images) for images in pair)
        goal, found = gradients(network, theirs, label, graph=False), gradients(network, ours, label, graph=True)
        total = total + sum(distance(*layer) for layer in zip(goal, found, strict=True))
    return total


def gradients(network: nn.Module, images: Tensor, label: int, graph: bool) -> tuple[Tensor, ...]:
    """Return the gradient of the cross-entropy on images `(N, C, H, W)` of one class, parameter by parameter."""
    labels = torch.full((len(images),), label, device=images.device)
    value = F.cross_entropy(network(images), labels)
    return torch.autograd.grad(value, list(network.parameters()), create_graph=graph)


def distance(goal: Tensor, found: Tensor) -> Tensor:
    """Return the sum over a layer's output units of 1 - cosine; one-dimensional parameters take no part."""
    if goal.ndim == 1:
        return found.new_zeros(())
    goal, found = goal.flatten(1), found.flatten(1)
    return (1 - (goal * found).sum(1) / (goal.norm(dim=1) * found.norm(dim=1) + 1e-6)).sum()
