"""KIP (arXiv 2011.00050): ridge regression of real labels with the kernel of an infinitely wide network."""

import math

import torch
from torch import Tensor


def loss(real: Tensor, targets: Tensor, images: Tensor, labels: Tensor, depth: int, ridge: float = 1e-6) -> Tensor:
    """Return `mean_(t, c) (K_ts (K_ss + λI)^-1 Y - y_t)^2 / 2`, in float64.

    Args:
        real: `(B, C, H, W)`.
        targets: y, `(B, num_classes)`.
        images: `(N, C, H, W)`, synthetic.
        labels: Y, `(N, num_classes)`.
        depth: hidden layers of the network.
        ridge: λ over the mean of the diagonal of K_ss.
    """
    between, within = ntk(real, images, depth), ntk(images, images, depth)
    regularized = within + ridge * within.trace() / len(within) * torch.eye(len(within)).to(within)
    return 0.5 * (between @ torch.linalg.solve(regularized, labels.double()) - targets).square().mean()


def ntk(first: Tensor, second: Tensor, depth: int) -> Tensor:
    """Return the neural tangent kernel `(N, M)` of fully-connected ReLU layers (variances: weights 2, biases 0.01)."""
    first, second = first.flatten(1).double(), second.flatten(1).double()
    covariance = 2 * first @ second.T / first.shape[1] + 0.01
    rows, columns = (2 * x.square().mean(1) + 0.01 for x in (first, second))
    kernel = covariance
    for _ in range(depth):
        scale = (rows[:, None] * columns).sqrt()
        cosine = covariance / scale
        equal = cosine > 1 - 1e-12  # the angle is 0 there, where arccos has no derivative
        angle = torch.where(equal, 0.0, torch.arccos(torch.where(equal, 0.0, cosine)))
        covariance = scale / math.pi * (angle.sin() + (math.pi - angle) * angle.cos()) + 0.01
        kernel = covariance + kernel * (math.pi - angle) / math.pi
        rows, columns = rows + 0.01, columns + 0.01
    return kernel
