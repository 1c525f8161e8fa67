"""Herding: images whose mean feature stays close to that of the class (as in iCaRL, arXiv 1611.07725)."""

import torch
from torch import Tensor


def herding(features: Tensor, count: int) -> Tensor:
    """Return images chosen one after another so that their sum of features follows the class mean μ.

    The i-th is the unused j that makes `|| i μ - (features chosen so far) - f_j ||` smallest.

    Args:
        features: of one class, `(n, F)`.
        count: how many images to choose, at most n.

    Returns:
        `(count,)` positions in the order of choice.

    Example:
        >>> herding(torch.tensor([[0.0], [4.0], [5.0]]), 2)  # the mean is 3
        tensor([1, 0])
    """
    mean = features.mean(0)
    missing = torch.zeros_like(mean)
    used = torch.zeros(len(features), dtype=torch.bool, device=features.device)
    chosen = []
    for _ in range(count):
        missing = missing + mean
        nearest = (features - missing).square().sum(1).masked_fill(used, torch.inf).argmin()
        used[nearest] = True
        missing = missing - features[nearest]
        chosen.append(nearest)
    return torch.stack(chosen)
