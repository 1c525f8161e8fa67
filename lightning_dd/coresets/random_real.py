"""Random real images: the plainest coreset, every method's usual start and the baseline beside each accuracy."""

import torch
from torch import Tensor

from lightning_dd.coresets.classes import check_sizes


def random_real(
    labels: Tensor,
    num_classes: int,
    ipc: int,
    generator: torch.Generator,
    class_names: list[str] | None = None,
    repeat: bool = False,
) -> Tensor:
    """Return the indices of `ipc` random images of each class, class-major, without replacement.

    Args:
        labels: class index of every image, `(N,)`.
        num_classes: K.
        ipc: images per class.
        generator: a CPU generator; one draw of it serves all classes.
        class_names: how the error message calls the classes; their numbers where missing.
        repeat: a class with fewer than `ipc` images shows them again in the same order instead of being refused.

    Returns:
        `(num_classes * ipc,)` indices on the CPU: those of class 0 first.

    Raises:
        UserError: a class with fewer than `ipc` images (with `repeat`: without any).

    Example:
        >>> labels = torch.tensor([0, 1, 0, 1])
        >>> labels[random_real(labels, 2, 2, torch.Generator().manual_seed(0))]
        tensor([0, 0, 1, 1])
    """
    labels = labels.cpu()
    sizes = check_sizes(labels, num_classes, ipc, class_names, repeat)
    # shuffle everything once, then gather each class's images, keeping their shuffled order
    shuffled = torch.randperm(len(labels), generator=generator)
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    classes = by_class.split([*sizes, len(labels) - sum(sizes)])[:num_classes]
    turns = torch.arange(ipc)
    return torch.cat([images[turns % len(images)] for images in classes])
