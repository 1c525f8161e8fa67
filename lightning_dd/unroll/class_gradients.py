"""Gradients of a network's weights, one for each class."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

Logits = Callable[[Tensor], Tensor]


def class_gradients(network: nn.Module, images: Tensor, labels: Tensor, logits: Logits | None = None) -> list[Tensor]:
    """Return the gradient of each class's mean cross-entropy, one tensor `(K, *shape)` for each parameter.

    Several classes go through one batched gradient, which a GPU takes with few launches. The result has a graph where
    the images require gradients.

    Args:
        network: treats each image for itself (batch normalization in eval mode); its parameters require gradients.
        images: `(K, N, C, H, W)`.
        labels: `(K,)` class indices.
        logits: the network's compiled form, called for one class of images that require no gradients: compiled code
            cannot be differentiated twice.
    """
    twice = images.requires_grad
    labels = labels[:, None].expand(-1, images.shape[1])
    if len(images) == 1:
        loss = F.cross_entropy((network if twice or logits is None else logits)(images[0]), labels[0])
        return [g[None] for g in torch.autograd.grad(loss, list(network.parameters()), create_graph=twice)]
    weights = {name: weight.detach() for name, weight in network.named_parameters()}

    def loss_of(weights: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(network, weights, (images,)), labels)

    return list(vmap(grad(loss_of), in_dims=(None, 0, 0))(weights, images, labels).values())


def class_gradients_in_chunks(
    network: nn.Module, images: Tensor, labels: Tensor, chunk: int, logits: Logits | None = None
) -> list[Tensor]:
    """Return `class_gradients` of images without a graph, at most `chunk` images of a class in one forward."""
    total: list[Tensor] = []
    for part in images.split(chunk, 1):
        share = part.shape[1] / images.shape[1]
        gradients = class_gradients(network, part, labels, logits)
        if not total:
            total = gradients if share == 1 else [gradient * share for gradient in gradients]
        else:
            torch._foreach_add_(total, gradients, alpha=share)
    return total
