"""Choosing class by class."""

from collections.abc import Callable

import torch
from torch import Tensor

from lightning_dd.errors import UserError


def choose_by_class(
    labels: Tensor,
    num_classes: int,
    ipc: int,
    rule: Callable[[Tensor, int], Tensor],
    class_names: list[str] | None = None,
    repeat: bool = False,
) -> Tensor:
    """Return the indices of `ipc` images of each class, class-major.

    Args:
        labels: class index of every image, `(N,)`.
        num_classes: K.
        ipc: images per class.
        rule: called with the indices of a class's images, `(n,)`, and how many to choose, at most n; returns that many
            positions among them.
        class_names: how the error message calls the classes; their numbers where missing.
        repeat: a class with fewer than `ipc` images shows them again in the same order instead of being refused.

    Returns:
        `(num_classes * ipc,)` indices on the CPU.

    Raises:
        UserError: a class with fewer than `ipc` images (with `repeat`: without any).
    """
    labels = labels.cpu()
    check_sizes(labels, num_classes, ipc, class_names, repeat)
    chosen = []
    for index in range(num_classes):
        members = (labels == index).nonzero().flatten()
        positions = rule(members, min(ipc, len(members))).cpu()
        chosen.append(members[positions[torch.arange(ipc) % len(positions)]])
    return torch.cat(chosen)


def check_sizes(
    labels: Tensor,
    num_classes: int,
    ipc: int,
    class_names: list[str] | None = None,
    repeat: bool = False,
    noise: bool = True,
) -> list[int]:
    """Return how many images each class has.

    Args:
        labels: class index of every image, `(N,)`.
        num_classes: K.
        ipc: images per class.
        class_names: how the error message calls the classes; their numbers where missing.
        repeat: whether a class may have fewer than `ipc` images.
        noise: whether the method could start from noise instead.

    Raises:
        UserError: a class with fewer than `ipc` images (with `repeat`: without any).
    """
    sizes = torch.bincount(labels, minlength=num_classes)[:num_classes].tolist()
    for index, size in enumerate(sizes):
        if size < (1 if repeat else ipc):
            raise UserError(_too_few(class_names[index] if class_names else str(index), size, ipc, noise))
    return sizes


def _too_few(name: str, size: int, ipc: int, noise: bool) -> str:
    remedy = "use --model.init noise" if noise else "use other data"
    if size == 0:
        return f'Class "{name}" has no images to start from: {remedy}.'
    remedy = "use --model.init noise, " if noise else "use "
    images = "training image" if size == 1 else "training images"
    return (
        f'Class "{name}" has only {size} {images}, fewer than the {ipc} per class asked for: '
        f"{remedy}--model.repeat_images true, or --model.ipc {size} or smaller."
    )
