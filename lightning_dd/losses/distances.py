"""Distances of features (DM, 2110.04181), gradients (DC, 2006.05929; IDC, 2205.14959), weights (MTT, 2203.11932)."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

EPSILON = 1e-6
"""Added to the product of the norms; rows without gradient are then at distance 1."""

Gradients = Sequence[Tensor]
"""One tensor for each parameter of a network, `(K, *parameter.shape)`: a gradient for each of K classes."""


def feature_mean_distance(real_means: Tensor, synthetic_means: Tensor) -> Tensor:
    """Return the squared distance of mean features, summed over classes.

    `L = sum_c || mean(φ(ω(B_c))) - mean(φ(ω(S_c))) ||²`, divided neither by the number of classes nor of features.

    Args:
        real_means: mean feature of each class's real batch B_c, `(K, F)`; without a graph.
        synthetic_means: mean feature of each class's synthetic images S_c, `(K, F)`.

    Returns:
        A scalar; 0 where there is no class.

    Example:
        >>> feature_mean_distance(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]]))
        tensor(5.)
    """
    return (real_means - synthetic_means).square().sum()


def trajectory_distance(trained: Tensor, start: Tensor, target: Tensor) -> Tensor:
    """Return the squared distance to the expert's weights, relative to the expert's own path.

    `L = ||θ_N - θ*_{t+M}||² / ||θ*_t - θ*_{t+M}||²` over all parameters at once: 1 for a student that does not move.

    Args:
        trained: the student's weights after N steps, θ_N, `(W,)`.
        start: the expert's weights at the student's start, θ*_t, `(W,)`; without a graph.
        target: the expert's weights M epochs later, θ*_{t+M}, `(W,)`; without a graph.

    Returns:
        A scalar; not finite where the expert did not move.

    Example:
        >>> trajectory_distance(torch.tensor([1.0, 1.0]), torch.tensor([0.0, 0.0]), torch.tensor([2.0, 0.0]))
        tensor(0.5000)
    """
    return (trained - target).square().sum() / (start - target).square().sum()


def rowwise_distance(real: Gradients, synthetic: Gradients) -> Tensor:
    """Return 1 - cosine for each output unit, summed over output units, weight tensors and classes.

    `D = sum_c sum_layers sum_rows [1 - <G_i, G'_i> / (|G_i| |G'_i| + 1e-6)]`, a row holding the weights into one output
    unit. Parameters of one dimension (biases, scales and shifts of norm layers) do not count.

    Args:
        real: gradients G on each class's real images; without a graph.
        synthetic: gradients G' on its synthetic images.

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
            total = total + (1 - _cosine(ours.flatten(2), theirs.flatten(2))).sum()
    return total


def squared_distance(real: Gradients, synthetic: Gradients) -> Tensor:
    """Return the squared difference of all gradients, biases too, summed over classes; a scalar."""
    return (_joined(real) - _joined(synthetic)).square().sum()


def convolution_distance(real: Gradients, synthetic: Gradients, power: int = 2) -> Tensor:
    """Return the difference of convolutions' gradients to a power, summed over entries, layers and classes (IDC).

    `D = sum_c sum_convolutions sum_entries |G - G'|^p`. Linear layers
    and parameters of one dimension do not count; the weights of LayerNorm do, as in the official code.

    Args:
        real: gradients G on each class's real images; without a graph.
        synthetic: gradients G' on its synthetic images.
        power: p, 1 or 2.

    Returns:
        A scalar; 0 where no layer is a convolution.

    Example:
        >>> one, other = torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[0.0, 5.0]]]])  # (class, out, in, kernel)
        >>> convolution_distance([one], [other]), convolution_distance([one], [other], power=1)
        (tensor(10.), tensor(4.))
    """
    total = synthetic[0].new_zeros(())
    for ours, theirs in zip(real, synthetic, strict=True):
        if ours.ndim > 3:  # classes, outputs, inputs, and the kernel
            total = total + ((ours - theirs).square() if power == 2 else (ours - theirs).abs()).sum()
    return total


def cosine_distance(real: Gradients, synthetic: Gradients) -> Tensor:
    """Return 1 - cosine of all gradients together, biases too, summed over classes; a scalar in [0, 2 K]."""
    return (1 - _cosine(_joined(real), _joined(synthetic))).sum()


DISTANCES: dict[str, Callable[[Gradients, Gradients], Tensor]] = {
    "rowwise": rowwise_distance,
    "mse": squared_distance,
    "cos": cosine_distance,
    "conv_mse": convolution_distance,
    "conv_l1": partial(convolution_distance, power=1),
}


def _cosine(one: Tensor, other: Tensor) -> Tensor:
    # vector_norm has the gradient 0 at 0, where the root of a sum of squares has none
    norms = torch.linalg.vector_norm(one, dim=-1) * torch.linalg.vector_norm(other, dim=-1)
    return (one * other).sum(-1) / (norms + EPSILON)


def _joined(gradients: Gradients) -> Tensor:
    return torch.cat([gradient.flatten(1) for gradient in gradients], 1)
