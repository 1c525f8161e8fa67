"""k-center: images that leave no other far from all of them (arXiv 1708.00489)."""

import torch
from torch import Tensor


def k_center(features: Tensor, count: int) -> Tensor:
    """Return centres chosen greedily: the image nearest to the class mean, then each time the one farthest from all.

    Args:
        features: of one class, `(n, F)`.
        count: how many images to choose, at most n.

    Returns:
        `(count,)` positions in the order of choice.

    Example:
        >>> k_center(torch.tensor([[0.0], [4.0], [5.0]]), 2)  # the mean is 3
        tensor([1, 0])
    """
    chosen = [(features - features.mean(0)).square().sum(1).argmin()]
    distances = torch.full((len(features),), torch.inf, dtype=features.dtype, device=features.device)
    for _ in range(count - 1):
        distances = torch.minimum(distances, (features - features[chosen[-1]]).square().sum(1))
        distances[chosen[-1]] = -1  # equal images are no reason to choose one twice
        chosen.append(distances.argmax())
    return torch.stack(chosen)
