"""Which synthetic images each inner step is trained on."""

import torch
from torch import Tensor


def fixed_order(num_classes: int, ipc: int, per_class: int, steps: int) -> Tensor:
    """Return the rows of class-balanced batches that take turns, always in the same order (arXiv 1811.10959).

    Args:
        num_classes: K.
        ipc: images of each class; the rows are those of a class-major set.
        per_class: k, images of each class in a step.
        steps: T.

    Returns:
        `(T, K * k)` rows.

    Example:
        >>> fixed_order(2, 3, 1, 4)
        tensor([[0, 3],
                [1, 4],
                [2, 5],
                [0, 3]])
    """
    within = torch.arange(steps * per_class).view(steps, 1, per_class) % ipc
    return (torch.arange(num_classes).view(1, -1, 1) * ipc + within).flatten(1)


def random_order(
    num_classes: int, ipc: int, per_class: int, steps: int, generator: torch.Generator, classes: int | None = None
) -> Tensor:
    """Return the rows of random class-balanced batches (arXiv 2311.07025).

    Args:
        num_classes: K.
        ipc: images of each class; the rows are those of a class-major set.
        per_class: k, images of each class in a step, without replacement.
        steps: T.
        generator: a CPU generator.
        classes: how many of the classes a step has; None for all of them, in order.

    Returns:
        `(T, classes * k)` rows.
    """
    within = torch.rand(steps, num_classes, ipc, generator=generator).topk(per_class, dim=2).indices
    rows = torch.arange(num_classes).view(1, -1, 1) * ipc + within
    if classes is not None:
        chosen = torch.rand(steps, num_classes, generator=generator).topk(classes, dim=1).indices
        rows = rows.gather(1, chosen[..., None].expand(-1, -1, per_class))
    return rows.flatten(1)
