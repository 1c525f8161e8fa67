"""The neural tangent kernel of an infinitely wide fully-connected ReLU network (arXiv 1806.07572), in closed form."""

import math

import torch
from torch import Tensor

WEIGHT_VARIANCE = 2.0  # KIP's W_std = sqrt(2) and b_std = 0.1
BIAS_VARIANCE = 0.01
COINCIDENT = 1e-13
"""Images whose cosine is closer to 1 count as equal: the angle's derivative is infinite there."""


def fc_ntk(first: Tensor, second: Tensor | None = None, depth: int = 1) -> Tensor:
    """Return the kernel between two sets of images, `(N, M)` float64.

    With covariance S and kernel Θ of a dense layer's outputs and angle φ = arccos(S / sqrt(ab)), a and b being the two
    images' own variances, a ReLU and the dense layer after it give

        S' = w sqrt(ab) (sin φ + (π - φ) cos φ) / 2π + v,    Θ' = S' + w Θ (π - φ) / 2π,

    from `S = Θ = w <x, x'> / D + v` on, with variances w of the weights and v of the biases. The angle between equal
    images has derivative 0.

    Args:
        first: `(N, ...)`, flattened to D values an image.
        second: `(M, ...)`; None takes `first` again, whose angles with itself are then exactly 0.
        depth: hidden layers.

    Example:
        >>> fc_ntk(torch.eye(2), depth=1).diagonal()  # a = 1.01 and Θ = 2 a + 0.01 on the diagonal
        tensor([2.0300, 2.0300], dtype=torch.float64)
    """
    same = second is None
    first = first.flatten(1).double()
    second = first if same else second.flatten(1).double()
    kernel = covariance = WEIGHT_VARIANCE * (first @ second.T) / first.shape[1] + BIAS_VARIANCE
    variances = [WEIGHT_VARIANCE * x.square().mean(1) + BIAS_VARIANCE for x in (first, second)]
    equal = torch.eye(len(first), dtype=torch.bool, device=first.device) if same else False
    for _ in range(depth):
        scale = (variances[0][:, None] * variances[1]).sqrt()
        expected, slope = _relu_expectations(covariance, scale, equal)
        covariance = WEIGHT_VARIANCE * expected + BIAS_VARIANCE
        kernel = covariance + WEIGHT_VARIANCE * kernel * slope
        variances = [WEIGHT_VARIANCE * variance / 2 + BIAS_VARIANCE for variance in variances]
    return kernel


def _relu_expectations(covariance: Tensor, scale: Tensor, equal: Tensor | bool) -> tuple[Tensor, Tensor]:
    """Return `E[relu(u) relu(v)]` and `E[relu'(u) relu'(v)]` for Gaussian pairs (u, v).

    Args:
        covariance: of each pair.
        scale: product of the two standard deviations.
        equal: pairs of a number with itself, whose angle is exactly 0.
    """
    cosine = covariance / scale
    coincident = (cosine > 1 - COINCIDENT) | equal
    opposite = cosine < COINCIDENT - 1
    # both selections are needed: the gradient of what is not selected is multiplied by 0, and infinity times 0 is NaN
    angle = torch.arccos(cosine.masked_fill(coincident | opposite, 0))
    angle = angle.masked_fill(coincident, 0).masked_fill(opposite, math.pi)
    expected = scale * (angle.sin() + (math.pi - angle) * cosine) / (2 * math.pi)
    return expected, (math.pi - angle) / (2 * math.pi)
