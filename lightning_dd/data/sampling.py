"""Batches of real images: `Distiller.sampling` asks for a kind, the data module gives it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


@dataclass(frozen=True)
class ClassBalanced:
    """Images of every class: a batch of shape `(K, B, C, H, W)` for the K classes of this process.

    Attributes:
        per_class: B, sampled without replacement within the batch, and with replacement where a class has fewer; no
            more than the largest class has.
        among: called with the iteration, up to one step ahead of it; returns the positions `(num_classes, R)` in the
            training part that may be sampled, R at least B, or None for all.
    """

    per_class: int
    among: Callable[[int], Tensor | None] | None = None

    def largest(self, labels: Tensor) -> int:
        """Return the size of the largest class, of labels `(N,)`: a larger B would only repeat images."""
        return int(labels.bincount().max())


@dataclass(frozen=True)
class Uniform:
    """Images of any class, each equally likely: a batch of shape `(B, C, H, W)`.

    Attributes:
        batch_size: B, over all processes together; sampled without replacement within the batch.
        shared: whether each process gets its share of the batch, or all of it.
    """

    batch_size: int
    shared: bool = True

    def largest(self, labels: Tensor) -> int:
        """Return the number of images, of labels `(N,)`: no batch is larger."""
        return len(labels)


Sampling = ClassBalanced | Uniform | None
"""None: no real images; the batches hold empty tensors."""


class Batch(NamedTuple):
    """Real images for one step, in the space in which networks are trained (normalized or whitened).

    Attributes:
        iteration: the key of the batch.
        classes: `(K,)` of a class-balanced batch, always on the CPU; empty otherwise.
        images: `(K, B, C, H, W)` class-balanced, `(B, C, H, W)` uniform.
        labels: `(K, B)` or `(B,)` class indices.
    """

    iteration: int
    classes: Tensor
    images: Tensor
    labels: Tensor
