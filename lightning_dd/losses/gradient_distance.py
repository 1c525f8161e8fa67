"""The distance between gradients that Gradient Matching minimises (arXiv 2006.05929)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

EPSILON = 1e-6
"""Added to the product of the norms; rows without gradient are then at distance 1."""

Gradients = Sequence[Tensor]
"""One tensor for each parameter of a network, `(K, *parameter.shape)`: a gradient for each of K classes."""


def rowwise_distance(real: Gradients, synthetic: Gradients) -> Tensor:
    """Return 1 - cosine for each output unit, summed over output units, weight tensors and classes.

    `D = sum_c sum_layers sum_rows [1 - <G_i, G'_i> / (|G_i| |G'_i| + 1e-6)]`, a row holding the weights into one output
    unit. Parameters of one dimension (biases, scales and shifts of norm layers) do not count.

    Args:
        real: gradients G on the real images of each class; without a graph.
        synthetic: gradients G' on the synthetic images of each class.

    Returns:
        A scalar in [0, 2 x rows x K].

    Example:
        >>> one, other = torch.tensor([[[3.0, 4.0], [0.0, 1.0]]]), torch.tensor([[[4.0, 3.0], [0.0, -1.0]]])
        >>> round(rowwise_distance([one], [other]).item(), 3)  # (1 - 24/25) + (1 + 1)
        2.04
    """
    total = synthetic[0].new_zeros(())
    for ours, theirs in zip(real, synthetic, strict=True):
        if ours.ndim > 2:  # classes, output units, and what goes into one
            total = total + (1 - _cosine(ours.flatten(2), theirs.flatten(2), -1)).sum()
    return total


def squared_distance(real: Gradients, synthetic: Gradients) -> Tensor:
    """Return the squared difference of all gradients, biases too, summed over classes; a scalar."""
    return (_joined(real) - _joined(synthetic)).square().sum()


def cosine_distance(real: Gradients, synthetic: Gradients) -> Tensor:
    """Return 1 - cosine of all gradients together, biases too, summed over classes; a scalar in [0, 2 K]."""
    return (1 - _cosine(_joined(real), _joined(synthetic), -1)).sum()


DISTANCES: dict[str, Callable[[Gradients, Gradients], Tensor]] = {
    "rowwise": rowwise_distance,
    "mse": squared_distance,
    "cos": cosine_distance,
}


def _cosine(one: Tensor, other: Tensor, dim: int) -> Tensor:
    # vector_norm has the gradient 0 at 0, where the root of a sum of squares has none
    norms = torch.linalg.vector_norm(one, dim=dim) * torch.linalg.vector_norm(other, dim=dim)
    return (one * other).sum(dim) / (norms + EPSILON)


def _joined(gradients: Gradients) -> Tensor:
    return torch.cat([gradient.flatten(1) for gradient in gradients], 1)
