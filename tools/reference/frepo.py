"""FRePo (arXiv 2206.00719): ridge regression of real labels on the features of partly trained networks."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


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


class Member:
    """A network of the pool, with an optimizer and an age of its own.

    Args:
        network: with random weights.
        age: at the start; members' ages are staggered.
        lr: of Adam.
    """

    def __init__(self, network: nn.Module, age: int, lr: float) -> None:
        self.network, self.age, self.lr = network, age, lr
        self.adam = torch.optim.Adam(network.parameters(), lr)

    def train(self, images: Tensor, labels: Tensor) -> None:
        """Take one step on the synthetic images and labels."""
        self.network.train().requires_grad_(True)
        self.adam.zero_grad()
        (0.5 * (self.network(images) - labels).square().sum(1).mean()).backward()
        self.adam.step()
        self.age += 1
