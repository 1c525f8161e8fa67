"""Kernel ridge regression from the synthetic set, the inner problem of KIP (arXiv 2011.00050) and FRePo (2206.00719).

Legend: N synthetic images, B real ones, C classes; K_ss `(N, N)` and K_ts `(B, N)` their kernels, λ the ridge.
"""

from typing import NamedTuple

import torch
from torch import Tensor

RAISES = tuple(10.0**power for power in range(7))
"""Factors on the ridge, tried in this order until the system can be solved."""
SMALLEST_DIAGONAL = 1e-30  # a kernel of zeros has a solution too


class RidgeSolution(NamedTuple):
    """The result of a ridge regression.

    Attributes:
        weights: `(K_ss + λI)^-1 Y`, `(N, C)` float64; `K_ts @ weights` are the predictions. NaN where the kernel is not
            finite or far from positive semi-definite.
        raised: factor on the ridge; 1 unless the system was too ill-conditioned.
    """

    weights: Tensor
    raised: float


def solve_ridge(kernel: Tensor, labels: Tensor, ridge: float = 1e-6) -> RidgeSolution:
    """Solve `(K_ss + λI) A = Y` with `λ = ridge * tr(K_ss) / N`, in float64.

    λ is differentiated through. Where rounding has made the kernel indefinite, the ridge is raised tenfold until the
    factorization succeeds.

    Args:
        kernel: K_ss, `(N, N)`; its symmetric part is taken.
        labels: Y, `(N, C)`.
        ridge: relative to the mean of the kernel's diagonal; above 0.

    Returns:
        A solution, once differentiable in both tensors.

    Example:
        >>> solve_ridge(torch.eye(2), torch.tensor([[3.0], [6.0]]), ridge=0.5).weights
        tensor([[2.],
                [4.]], dtype=torch.float64)
    """
    system, factor, raised = _regularized(kernel.double(), ridge)
    labels = labels.double()
    with torch.no_grad():
        first = torch.cholesky_solve(labels, factor)
    # A step of iterative refinement. The factor has no graph: the gradient of this line alone is that of the solution,
    # A^-1 (dY - dA X), without differentiating the factorization.
    return RidgeSolution(first + torch.cholesky_solve(labels - system @ first, factor), raised)


def squared_error(predictions: Tensor, targets: Tensor, count: int) -> Tensor:
    """Return half the sum of squared errors of `(B, C)` predictions, divided by `count`.

    Args:
        predictions: `(B, C)`; B may be a share of a batch.
        targets: `(B, C)`.
        count: size of the whole batch (times C for a mean over classes too).
    """
    return (predictions - targets).square().sum() / (2 * count)


def label_margin(labels: Tensor) -> Tensor:
    """Return FRePo's term that keeps learned labels Y `(N, C)` apart: minus the mean margin, capped at 1/C.

    `mean_i - min(largest(Y_i) - second(Y_i), 1/C)`.

    Example:
        >>> label_margin(torch.tensor([[0.9, 0.1], [0.2, 0.0]]))
        tensor(-0.3500)
    """
    num_classes = labels.shape[1]
    if num_classes < 2:
        return labels.sum() * 0
    largest, second = labels.topk(2, dim=1).values.unbind(1)
    return -(largest - second).clamp(max=1 / num_classes).mean()


def centered_targets(labels: Tensor, num_classes: int) -> Tensor:
    """Return `onehot - 1/C` for class indices `(B,)`: `(B, C)` in the default floating-point type."""
    return torch.nn.functional.one_hot(labels, num_classes).to(torch.get_default_dtype()) - 1 / num_classes


def _regularized(kernel: Tensor, ridge: float) -> tuple[Tensor, Tensor, float]:
    """Return `K + λI`, its Cholesky factor without a graph, and the factor on the ridge."""
    kernel = (kernel + kernel.mT) / 2
    relative = ridge * kernel.diagonal().mean().clamp(min=SMALLEST_DIAGONAL)
    for raised in RAISES:
        system = kernel + (raised * relative).expand(len(kernel)).diag()
        factor, failed = torch.linalg.cholesky_ex(system.detach())
        if not failed:
            return system, factor, raised
    return system, torch.full_like(factor, torch.nan), torch.inf
