"""Rules that choose images of one class: herding, k-center, k-means, forgetting.

Herding as in iCaRL (arXiv 1611.07725), k-center of arXiv 1708.00489, k-means as in DC-BENCH (arXiv 2207.09639),
forgetting of arXiv 1812.05159. Features are those of one class, `(n, F)`; at most n images are chosen, and positions
come in the order of choice.
"""

import torch
from torch import Tensor

ITERATIONS = 100  # of k-means, at most


def herding(features: Tensor, count: int) -> Tensor:
    """Return `(count,)` images chosen one after another so that their mean feature stays close to the class mean μ.

    The i-th is the unused j that makes `|| i μ - (features chosen so far) - f_j ||` smallest.

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


def k_center(features: Tensor, count: int) -> Tensor:
    """Return `(count,)` images: the one nearest to the class mean, then each time the one farthest from all chosen.

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


def k_means(features: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return the image nearest to each of `count` cluster centers, `(count,)` positions, no image twice.

    Centers start by k-means++, under a CPU generator, and move by Lloyd's iteration until no image changes its cluster.
    """
    centers = features[_spread(features, count, generator)]
    nearest = None
    for _ in range(ITERATIONS):
        before, nearest = nearest, torch.cdist(features, centers).argmin(1)
        if before is not None and torch.equal(before, nearest):
            break
        centers = _means(features, nearest, centers)
    distances = torch.cdist(centers, features)
    chosen = []
    for row in distances:
        if chosen:
            row[torch.stack(chosen)] = torch.inf
        chosen.append(row.argmin())
    return torch.stack(chosen)


def _spread(features: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return starts: the first sampled uniformly, others in proportion to the squared distance from the nearest."""
    distances = torch.ones(len(features), dtype=torch.float64)
    chosen: list[int] = []
    for _ in range(count):
        distances[chosen] = 0
        # where all that is left coincides with a center, any unused image will do
        weights = distances if distances.any() else torch.ones(len(features)).index_fill(0, torch.tensor(chosen), 0)
        chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
        to_new = (features - features[chosen[-1]]).square().sum(1).double().cpu()
        distances = to_new if len(chosen) == 1 else torch.minimum(distances, to_new)
    return torch.tensor(chosen)


def _means(features: Tensor, nearest: Tensor, centers: Tensor) -> Tensor:
    """Return the mean of each cluster; an empty one keeps its center."""
    sums = torch.zeros_like(centers).index_add_(0, nearest, features)
    sizes = torch.bincount(nearest, minlength=len(centers))[:, None]
    return torch.where(sizes > 0, sums / sizes.clamp(min=1), centers)


def forgetting_events(history: Tensor) -> Tensor:
    """Return how often each image was forgotten: right at one presentation and wrong at the next; `(N,)`.

    Args:
        history: whether the network was right at each presentation, `(E, N)`; an image that it never was counts as
            forgotten E times, more often than any other.

    Example:
        >>> forgetting_events(torch.tensor([[True, True, False], [False, True, False], [True, True, False]]))
        tensor([1, 0, 3])
    """
    history = history.bool()
    events = (history[:-1] & ~history[1:]).sum(0)
    return torch.where(history.any(0), events, len(history))


def most_forgotten(events: Tensor, count: int) -> Tensor:
    """Return the `count` images with the most events, `(count,)` positions; the earlier of two alike comes first."""
    return events.argsort(descending=True, stable=True)[:count]
