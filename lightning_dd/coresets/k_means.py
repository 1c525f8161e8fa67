"""k-means: the images nearest to the centres of clusters in feature space (as in DC-BENCH, arXiv 2207.09639)."""

import torch
from torch import Tensor


def k_means(features: Tensor, count: int, generator: torch.Generator, iterations: int = 100) -> Tensor:
    """Return the image nearest to each of `count` cluster centres, no image twice.

    Centres start by k-means++ and move by Lloyd's iteration until no image changes its cluster. With one cluster this
    is the image nearest to the class mean.

    Args:
        features: of one class, `(n, F)`.
        count: how many images to choose, at most n.
        generator: a CPU generator; draws where the centres start.
        iterations: at most.

    Returns:
        `(count,)` positions.
    """
    centres = features[_spread(features, count, generator)]
    nearest = None
    for _ in range(iterations):
        before, nearest = nearest, torch.cdist(features, centres).argmin(1)
        if before is not None and torch.equal(before, nearest):
            break
        centres = _means(features, nearest, centres)
    distances = torch.cdist(centres, features)
    chosen = []
    for row in distances:
        if chosen:
            row[torch.stack(chosen)] = torch.inf
        chosen.append(row.argmin())
    return torch.stack(chosen)


def _spread(features: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return starts: the first drawn uniformly, each other in proportion to its squared distance from the nearest."""
    distances = torch.ones(len(features), dtype=torch.float64)
    chosen: list[int] = []
    for _ in range(count):
        distances[chosen] = 0
        # where all that is left coincides with a centre, any unused image will do
        weights = distances if distances.any() else torch.ones(len(features)).index_fill(0, torch.tensor(chosen), 0)
        chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
        to_new = (features - features[chosen[-1]]).square().sum(1).double().cpu()
        distances = to_new if len(chosen) == 1 else torch.minimum(distances, to_new)
    return torch.tensor(chosen)


def _means(features: Tensor, nearest: Tensor, centres: Tensor) -> Tensor:
    """Return the mean of each cluster; an empty one keeps its centre."""
    sums = torch.zeros_like(centres).index_add_(0, nearest, features)
    sizes = torch.bincount(nearest, minlength=len(centres))[:, None]
    return torch.where(sizes > 0, sums / sizes.clamp(min=1), centres)
