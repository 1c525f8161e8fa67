"""Forgetting: images that a network learned and lost most often while it was trained (arXiv 1812.05159)."""

import torch
from torch import Tensor


def forgetting_events(history: Tensor) -> Tensor:
    """Return how often each image was forgotten: right at one presentation and wrong at the next.

    Args:
        history: whether the network was right at each presentation, `(E, N)`, in the order of time.

    Returns:
        `(N,)` counts; an image that was never right counts as forgotten E times, more often than any other.

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
