"""DD (arXiv 1811.10959): learn images on which a short training leads to a low loss on real ones."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

Weights = dict[str, Tensor]
Network = Callable[[Weights, Tensor], Tensor]
"""Gives the logits of images under weights: `functional_call` of a module."""
Batches = Iterable[tuple[Tensor, Tensor]]
"""Images `(B, C, H, W)` and labels of each step."""


def train(network: Network, weights: Weights, batches: Batches, sizes: Iterable[Tensor]) -> Weights:
    """Return the weights after `w - size * gradient` on each batch, with the graph of all steps."""
    weights = {name: weight.detach().clone().requires_grad_() for name, weight in weights.items()}
    for (images, labels), size in zip(batches, sizes, strict=True):
        value = F.cross_entropy(network(weights, images), labels)
        gradients = torch.autograd.grad(value, list(weights.values()), create_graph=True)
        weights = {name: w - size * g for (name, w), g in zip(weights.items(), gradients, strict=True)}
    return weights


def loss(
    network: Network, weights: Weights, batches: Batches, sizes: Iterable[Tensor], real: Tensor, labels: Tensor
) -> Tensor:
    """Return the cross-entropy on real images `(B, C, H, W)` and their labels after the training."""
    return F.cross_entropy(network(train(network, weights, batches, sizes), real), labels)
