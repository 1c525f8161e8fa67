"""Random real images, the plainest coreset: every method's usual start and baseline."""

import torch
from torch import Tensor

from lightning_dd.errors import UserError


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
        class_names: for error messages; numbers where missing.
        repeat: cycle through a class with fewer than `ipc` images instead of refusing it.

    Returns:
        `(num_classes * ipc,)` indices on the CPU.

    Raises:
        UserError: a class has fewer than `ipc` images (with `repeat`: none).

    Example:
        >>> labels = torch.tensor([0, 1, 0, 1])
        >>> labels[random_real(labels, 2, 2, torch.Generator().manual_seed(0))]
        tensor([0, 0, 1, 1])
    """
    labels = labels.cpu()
    sizes = check_sizes(labels, num_classes, ipc, class_names, repeat)
    shuffled = torch.randperm(len(labels), generator=generator)
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    classes = by_class.split([*sizes, len(labels) - sum(sizes)])[:num_classes]
    turns = torch.arange(ipc)
    return torch.cat([images[turns % len(images)] for images in classes])


def check_sizes(
    labels: Tensor,
    num_classes: int,
    ipc: int,
    class_names: list[str] | None = None,
    repeat: bool = False,
    noise: bool = True,
) -> list[int]:
    """Return the number of images of each class.

    Args:
        labels: class index of every image, `(N,)`.
        num_classes: K.
        ipc: images per class.
        class_names: for error messages; numbers where missing.
        repeat: whether a class may have fewer than `ipc` images.
        noise: whether the method could start from noise instead.

    Raises:
        UserError: a class has fewer than `ipc` images (with `repeat`: none).
    """
    sizes = torch.bincount(labels, minlength=num_classes)[:num_classes].tolist()
    for index, size in enumerate(sizes):
        if size < (1 if repeat else ipc):
            raise UserError(_too_few(class_names[index] if class_names else str(index), size, ipc, noise))
    return sizes


def _too_few(name: str, size: int, ipc: int, noise: bool) -> str:
    if size == 0:
        return f'Class "{name}" has no images to start from: use {"{init} noise" if noise else "other data"}.'
    images = "training image" if size == 1 else "training images"
    return (
        f'Class "{name}" has only {size} {images}, fewer than the {ipc} to start from: '
        f"use {'{init} noise, ' if noise else ''}{{repeat_images}} true, or a smaller {{ipc}}."
    )
