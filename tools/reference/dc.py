"""DC (arXiv 2006.05929) and DSA (2102.08259): match gradients on real and synthetic images, class by class."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .dm import Pairs


def losses(network: nn.Module, pairs: Pairs) -> Iterator[Tensor]:
    """Yield the distance between the gradients of the network's weights on a class's images, for each class.

    Args:
        network: of this step.
        pairs: real and synthetic images.
    """
    for label, (real, synthetic) in enumerate(pairs):
        goal, found = gradients(network, real, label, graph=False), gradients(network, synthetic, label, graph=True)
        yield sum(distance(*layer) for layer in zip(goal, found, strict=True))


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
