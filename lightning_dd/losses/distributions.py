"""Distances of feature distributions beyond their means: second moments (DSDM) and characteristic functions (NCFM)."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST = 1e-12
"""Added under the root, whose slope at 0 is not finite."""


def covariance_distance(real: Tensor, synthetic: Tensor) -> Tensor:
    """Return the squared Frobenius distance of covariance matrices, summed over classes (DSDM).

    `L = sum_c || Cov(T_c) - Cov(S_c) ||²`, each covariance a sum over images divided by their number less one; that of
    one image is 0. It is taken from inner products of images, so that no `(F, F)` matrix is formed.

    Args:
        real: features of each class's real images, `(K, B, F)`; without a graph.
        synthetic: features of its synthetic images, `(K, N, F)`.

    Returns:
        A scalar.

    Example:
        >>> covariance_distance(torch.tensor([[[0.0], [2.0]]]), torch.tensor([[[1.0], [5.0]]]))  # (2 - 8)²
        tensor(36.)
    """
    real, synthetic = (part - part.mean(1, keepdim=True) for part in (real, synthetic))

    def product(one: Tensor, other: Tensor) -> Tensor:
        counts = (max(1, part.shape[1] - 1) for part in (one, other))
        return (one @ other.mT).square().sum() / math.prod(counts)

    return product(real, real) - 2 * product(real, synthetic) + product(synthetic, synthetic)


def characteristic_function(features: Tensor, frequencies: Tensor) -> Tensor:
    """Return the empirical characteristic function `mean_i exp(i <t, f_i / |f_i|>)` (NCFM, arXiv 2502.20653).

    Args:
        features: `(K, N, F)`, of any length; they are scaled to length 1.
        frequencies: t, `(T, F)`.

    Returns:
        Real and imaginary parts, `(K, T, 2)`.
    """
    angles = F.normalize(features, dim=-1) @ frequencies.T
    return torch.stack([angles.cos().mean(1), angles.sin().mean(1)], -1)


def characteristic_distance(real: Tensor, synthetic: Tensor, amplitude: float = 0.5) -> Tensor:
    """Return the mean distance of characteristic functions over frequencies, summed over classes (NCFM).

    `L = sum_c mean_t sqrt(a (|Φ_T| - |Φ_S|)² + (1 - a) 2 |Φ_T| |Φ_S| (1 - cos(difference of phases)))`.

    Args:
        real: `characteristic_function` of each class's real images, `(K, T, 2)`; without a graph.
        synthetic: of its synthetic images, `(K, T, 2)`.
        amplitude: a, the weight of the amplitudes; the phases have the rest. At 0.5 the root is |Φ_T - Φ_S| / sqrt 2.

    Returns:
        A scalar in [0, 2 K].

    Example:
        >>> one, other = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]])
        >>> characteristic_distance(one, other)  # sqrt(0.5 * 0 + 0.5 * 2)
        tensor(1.)
    """
    lengths = [torch.linalg.vector_norm(part, dim=-1) for part in (real, synthetic)]
    amplitudes, squares = (lengths[0] - lengths[1]).square(), (real - synthetic).square().sum(-1)
    # the second term is |Φ_T - Φ_S|² - (|Φ_T| - |Φ_S|)²: as a product less a product it would be rounded below 0
    both = (2 * amplitude - 1) * amplitudes + (1 - amplitude) * squares
    return (both.clamp(min=0) + SMALLEST).sqrt().mean(-1).sum()


def attention_map(maps: Tensor, power: float = 4) -> Tensor:
    """Return the spatial attention of activations, flat and of length 1 (DataDAM, arXiv 2310.00093).

    Args:
        maps: `(N, channels, H, W)`.
        power: of the absolute activations, summed over channels.

    Returns:
        `(N, H * W)`.

    Example:
        >>> attention_map(torch.tensor([[[[3.0, 0.0]], [[0.0, 4.0]]]]), power=1)
        tensor([[0.6000, 0.8000]])
    """
    return F.normalize(maps.abs().pow(power).sum(1).flatten(1), dim=1)
