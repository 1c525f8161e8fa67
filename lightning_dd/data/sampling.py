"""What a method wants to be given at each step: it says so in `Distiller.sampling`, the data module obeys."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


@dataclass(frozen=True)
class ClassBalanced:
    """Images of every class: a batch of shape `(K, B, C, H, W)` for the K classes of this process.

    Attributes:
        per_class: B, how many real images of each class; drawn without replacement within the batch, and with
            replacement where a class has fewer. No more than the largest class has: more would only repeat images.
    """

    per_class: int


@dataclass(frozen=True)
class Uniform:
    """Images of any class, each equally likely: a batch of shape `(B, C, H, W)`.

    Attributes:
        batch_size: B, over all processes together; drawn without replacement within the batch.
        shared: whether each process gets its share of the batch, or all of it.
    """

    batch_size: int
    shared: bool = True


Sampling = ClassBalanced | Uniform | None
"""None: the method asks for no real images while it trains; its batches hold empty tensors."""


class Batch(NamedTuple):
    """Real images for one step, in the space in which networks are trained (normalised or whitened).

    Attributes:
        iteration: the step that the draw was keyed with.
        classes: `(K,)` the classes of a class-balanced batch, always on the CPU; empty otherwise.
        images: `(K, B, C, H, W)` class-balanced, `(B, C, H, W)` uniform.
        labels: `(K, B)` or `(B,)` class indices.
    """

    iteration: int
    classes: Tensor
    images: Tensor
    labels: Tensor
