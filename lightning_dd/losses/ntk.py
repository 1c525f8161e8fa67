"""The neural tangent kernel of an infinitely wide fully-connected ReLU network (arXiv 1806.07572), in closed form."""

import math

import torch
from torch import Tensor

WEIGHT_VARIANCE = 2.0  # KIP's W_std = sqrt(2) and b_std = 0.1
BIAS_VARIANCE = 0.01
COINCIDENT = 1e-13
"""Images whose cosine is closer to 1 than this are taken for the same: the angle's derivative is infinite there."""


def fc_ntk(
    first: Tensor,
    second: Tensor | None = None,
    depth: int = 1,
    weight_variance: float = WEIGHT_VARIANCE,
    bias_variance: float = BIAS_VARIANCE,
) -> Tensor:
    """Return the kernel between two sets of images.

    With covariance S and kernel Θ of a dense layer's outputs and angle φ = arccos(S / sqrt(ab)), a and b being the two
    images' own variances, a ReLU and the dense layer after it give

        S' = w sqrt(ab) (sin φ + (π - φ) cos φ) / 2π + v,    Θ' = S' + w Θ (π - φ) / 2π,

    from `S = Θ = w <x, x'> / D + v` on, with variances w of the weights and v of the biases.

    Args:
        first: `(N, ...)`, flattened to D values an image.
        second: `(M, ...)`; None takes `first` again, whose angles with itself are then exactly 0.
        depth: hidden layers.
        weight_variance: w.
        bias_variance: v.

    Returns:
        `(N, M)` float64; differentiable, with derivative 0 of the angle between equal images.

    Example:
        >>> fc_ntk(torch.eye(2), depth=1).diagonal()  # a = 1.01 and Θ = 2 a + 0.01 on the diagonal
        tensor([2.0300, 2.0300], dtype=torch.float64)
    """
    same = second is None
    first = first.flatten(1).double()
    second = first if same else second.flatten(1).double()
    size = first.shape[1]
    covariance = weight_variance * (first @ second.T) / size + bias_variance
    variances = [weight_variance * x.square().mean(1) + bias_variance for x in (first, second)]
    kernel = covariance
    for _ in range(depth):
        expected, slope = _relu(covariance, *variances, same)
        covariance = weight_variance * expected + bias_variance
        kernel = covariance + weight_variance * kernel * slope
        variances = [weight_variance * variance / 2 + bias_variance for variance in variances]
    return kernel


def _relu(covariance: Tensor, rows: Tensor, columns: Tensor, same: bool) -> tuple[Tensor, Tensor]:
    """Return E[relu(u) relu(v)] and E[relu'(u) relu'(v)] for Gaussian pairs (u, v)."""
    scale = (rows[:, None] * columns).sqrt()
    cosine = covariance / scale
    coincident = cosine > 1 - COINCIDENT
    if same:
        coincident = coincident | torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    opposite = cosine < COINCIDENT - 1
    # both selections are needed: the gradient of what is not selected is multiplied by 0, and infinity times 0 is NaN
    angle = torch.arccos(cosine.masked_fill(coincident | opposite, 0))
    angle = angle.masked_fill(coincident, 0).masked_fill(opposite, math.pi)
    expected = scale * (angle.sin() + (math.pi - angle) * cosine) / (2 * math.pi)
    return expected, (math.pi - angle) / (2 * math.pi)
