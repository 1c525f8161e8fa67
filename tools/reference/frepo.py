"""FRePo (arXiv 2206.00719): ridge regression of real labels on the features of partly trained networks."""

from collections.abc import Callable

import torch
from torch import Tensor


def loss(
    features: Callable[[Tensor], Tensor],
    real: Tensor,
    targets: Tensor,
    images: Tensor,
    labels: Tensor,
    flip: bool,
    ridge: float = 1e-6,
) -> Tensor:
    """Return `mean_t || K_ts (K_ss + λI)^-1 Y - y_t ||^2 / 2 - mean_i min(margin(Y_i), 1/C)`, `K = f f^T`.

    Args:
        features: f, `(N, C, H, W)` to `(N, F)`.
        real: `(B, C, H, W)`.
        targets: y, `(B, num_classes)`.
        images: `(N, C, H, W)`, synthetic.
        labels: Y, `(N, num_classes)`.
        flip: whether mirrored copies take part.
        ridge: λ over the mean of the diagonal of K_ss.
    """
    first, second = labels.topk(2, dim=1).values.T
    margin = (first - second).clamp(max=1 / labels.shape[1]).mean()
    if flip:
        images, labels = torch.cat([images, images.flip(-1)]), torch.cat([labels, labels])
    with torch.no_grad():
        real = features(real)
    synthetic = features(images)
    kernel = synthetic @ synthetic.T
    regularized = kernel + ridge * kernel.trace() / len(kernel) * torch.eye(len(kernel)).to(kernel)
    predictions = real @ synthetic.T @ torch.linalg.solve(regularized, labels)
    return 0.5 * (predictions - targets).square().sum(1).mean() - margin
