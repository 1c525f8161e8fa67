"""The whole training set, as networks are trained on it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_dd.artifact.files import tensor_digest
from lightning_dd.data.lazy import Images, LazyImages

if TYPE_CHECKING:
    from lightning_dd.data import ImageData

NOT_MIRRORED = ("digits", "mnist", "svhn")
"""Data sets whose images mean something else, or nothing, in a mirror."""


@dataclass(frozen=True)
class TrainingSet:
    """Labeled images, preprocessed when they are used.

    Attributes:
        images: pixels `(N, C, H, W)`, uint8 or float32, or lazy.
        labels: `(N,)` class indices.
        num_classes: outputs of a network.
        preprocess: moves pixels to the device and normalizes or whitens them.
        preprocessing: `preprocess` in plain values.
        mirrored: whether a mirror image is one of the same class.
    """

    images: Images
    labels: Tensor
    num_classes: int
    preprocess: Callable[[Tensor], Tensor]
    preprocessing: object
    mirrored: bool = True

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return images `(n, C, H, W)` and labels `(n,)` of some rows, preprocessed, on the device."""
        images = self.preprocess(self.images[rows])
        return images, self.labels[rows].to(images.device)

    @cached_property
    def digest(self) -> str:
        """A digest of pixels, or of their files, and labels."""
        return content_digest(self.images, self.labels)


def content_digest(images: Images, labels: Tensor) -> str:
    """Return a digest of pixels, or of their files, and labels."""
    if isinstance(images, LazyImages):
        return f"{images.digest} {tensor_digest({'labels': labels})}"
    return tensor_digest({"images": images, "labels": labels})


def training_set(data: "ImageData", device: torch.device) -> TrainingSet:
    """Return the training images of a data module that is set up, for networks on a device."""

    def preprocess(pixels: Tensor) -> Tensor:
        return data.preprocessing_on(device)(pixels.to(device))

    facts = data.num_classes, preprocess, data.preprocessing.describe(), data.name not in NOT_MIRRORED
    return TrainingSet(data.train_images, data.train_labels, *facts)
