"""A network as a function of one vector of weights: a training step is a few operations on that vector."""

import torch
from torch import Tensor, nn
from torch.func import functional_call
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
        self.shapes = {name: parameter.shape for name, parameter in network.named_parameters()}
        self.sizes = [shape.numel() for shape in self.shapes.values()]

    def weights(self, network: nn.Module | None = None) -> Tensor:
        """Return a copy of the weights, `(W,)`, in the order of definition; of another such network if given."""
        return torch.cat([p.detach().flatten() for p in (network or self.network).parameters()])

    def named(self, weights: Tensor) -> dict[str, Tensor]:
        """Return the parameters as views of a vector of weights `(W,)`."""
        parts = weights.split(self.sizes)
        return {name: part.view(shape) for part, (name, shape) in zip(parts, self.shapes.items(), strict=True)}

    def __call__(self, weights: Tensor, images: Tensor) -> Tensor:
        """Return the logits `(N, num_classes)` under weights `(W,)`."""
        # copies of the buffers: a call is pure, and moves no running statistics
        buffers = {
            name: buffer.to(weights.dtype if buffer.is_floating_point() else buffer.dtype, copy=True)
            for name, buffer in self.network.named_buffers()
        }
        return functional_call(self.network, {**self.named(weights), **buffers}, (images,))


class CrossEntropy:
    """The cross-entropy of a network's logits, its `"mean"` or `"sum"` over images, as a function of the weights."""

    def __init__(self, network: FlatNetwork, reduction: str = "mean") -> None:
        self.network, self.reduction = network, reduction

    def __call__(self, weights: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Return a scalar for weights `(W,)`, images `(N, C, H, W)`, and indices `(N,)` or probabilities `(N, K)`."""
        return F.cross_entropy(self.network(weights, images), labels, reduction=self.reduction)
