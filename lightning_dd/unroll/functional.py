"""A network as a function of one vector of weights, so that a step of training is a few operations on that vector."""

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F


class FlatNetwork:
    """A network that takes its weights as an argument.

    Args:
        network: gives the architecture; its own weights are not used by calls.

    Example:
        >>> linear = nn.Linear(2, 3)
        >>> flat = FlatNetwork(linear)
        >>> images = torch.ones(4, 2)
        >>> torch.equal(flat(flat.weights(), images), linear(images))
        True
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        parameters = dict(network.named_parameters())
        self.names = tuple(parameters)
        self.shapes = tuple(parameter.shape for parameter in parameters.values())
        self.sizes = tuple(parameter.numel() for parameter in parameters.values())

    def weights(self, network: nn.Module | None = None) -> Tensor:
        """Return a copy of a network's weights, `(W,)`, in the order in which its parameters are defined.

        Args:
            network: of the same architecture; None takes the one given at the start.
        """
        return torch.cat([p.detach().flatten() for p in (network or self.network).parameters()])

    def named(self, weights: Tensor) -> dict[str, Tensor]:
        """Return the parameters as views of a vector of weights `(W,)`."""
        parts = weights.split(self.sizes)
        return {name: part.view(shape) for name, part, shape in zip(self.names, parts, self.shapes, strict=True)}

    def __call__(self, weights: Tensor, images: Tensor) -> Tensor:
        """Return the logits under given weights: `(N, num_classes)` for `(W,)`, `(S, N, num_classes)` for `(S, W)`."""
        if weights.ndim == 1:
            return functional_call(self.network, {**self.named(weights), **self._buffers(weights)}, (images,))
        return vmap(self, in_dims=(0, None))(weights, images)

    def _buffers(self, weights: Tensor) -> dict[str, Tensor]:
        """Return copies: a call is pure, and moves no running statistics."""
        return {
            name: buffer.to(weights.dtype if buffer.is_floating_point() else buffer.dtype, copy=True)
            for name, buffer in self.network.named_buffers()
        }


class CrossEntropy:
    """The cross-entropy of a network's logits as a function of weights, images and labels.

    Args:
        network: as a function of its weights.
        reduction: over images, `"mean"` or `"sum"`; several networks are summed over.
    """

    def __init__(self, network: FlatNetwork, reduction: str = "mean") -> None:
        self.network = network
        self.reduction = reduction

    def __call__(self, weights: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Return a scalar.

        Args:
            weights: `(W,)`, or `(S, W)` for S networks.
            images: `(N, C, H, W)`.
            labels: `(N,)` class indices, or `(N, num_classes)` probabilities.
        """
        logits = self.network(weights, images)
        if weights.ndim == 1:
            return F.cross_entropy(logits, labels, reduction=self.reduction)
        stacked = len(weights)
        repeated = labels.repeat(stacked, *[1] * (labels.ndim - 1))
        loss = F.cross_entropy(logits.flatten(0, 1), repeated, reduction=self.reduction)
        return loss * stacked if self.reduction == "mean" else loss
