"""`FromDataset`: any torch data set of (image, label) pairs, for use from Python."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from lightning_dd.data.decoding import GRAY_MODES, Decoding, to_pixels
from lightning_dd.data.module import ImageData
from lightning_dd.data.splits import part_rows
from lightning_dd.errors import UserError
from lightning_dd.runtime.options import Fraction


class FromDataset(ImageData):
    """A map-style `Dataset` whose items are (image, label).

    Images are Pillow images, uint8 or float tensors `(C, H, W)` or `(H, W)`, or arrays `(H, W, C)` or `(H, W)`.
    Floats are in [0, 1], not normalized. They are stored as uint8 where that loses nothing (as after `ToTensor`) and
    as float32 otherwise. The whole set is read here, because the number of classes must be known.

    Args:
        train: the training part, without random augmentation.
        test: the test part; where not given, `test_fraction` of each class of `train`.
        class_names: in label order; where not given, the data set's `classes`, or else the labels.
        name: of the set, in snake case.
        test_fraction: see `test`.
        **options: those of `ImageData`; `root` and `cache` are not used.

    Raises:
        UserError: if an image or a label is none of these, or if images differ in shape or kind.
    """

    def __init__(
        self,
        train: Dataset,
        test: Dataset | None = None,
        class_names: Sequence[str] | None = None,
        name: str = "custom",
        test_fraction: Fraction = 0.2,
        **options: Any,
    ) -> None:
        self._parts = {"train": read_dataset(train, "train")}
        if test is None:
            images, labels = self._parts["train"]
            rows = {part: part_rows(labels, part, test_fraction) for part in ("train", "test")}
            self._parts = {part: (images[chosen], labels[chosen]) for part, chosen in rows.items()}
        else:
            self._parts["test"] = read_dataset(test, "test")
        shapes = [tuple(images.shape[1:]) for images, _ in self._parts.values()]
        if shapes[0] != shapes[1]:
            raise UserError(f"training images are {shapes[0]} but test images are {shapes[1]}: make them alike")
        self.name = name
        self.image_shape = shapes[0]
        names = class_names or getattr(train, "classes", None)
        count = int(max(labels.max() for _, labels in self._parts.values() if len(labels))) + 1
        self.class_names = tuple(map(str, names or range(count)))
        self.num_classes = len(self.class_names)
        super().__init__(**options)

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Return the images and labels of the "train" or the "test" part."""
        return self._parts[split]


def read_dataset(dataset: Dataset, part: str) -> tuple[Tensor, Tensor]:
    """Return images `(N, C, H, W)`, uint8 or float32 in [0, 1], and labels `(N,)` of a map-style data set.

    Raises:
        UserError: as `FromDataset` does; it calls the data set by `part`.
    """
    if not hasattr(dataset, "__len__") or not len(dataset):
        raise UserError(f"the {part} data set is empty or has no length: give a map-style Dataset of (image, label)")
    images, labels = [], []
    for index in range(len(dataset)):
        where = f"item {index} of the {part} data set"
        try:
            image, label = dataset[index]
        except (TypeError, ValueError):
            raise UserError(f"{where} is not an (image, label) pair: give a Dataset of pairs") from None
        images.append(_as_tensor(image, where))
        labels.append(_as_label(label, where))
        if images[-1].shape != images[0].shape or images[-1].dtype != images[0].dtype:
            this, first = (f"{image.dtype} {tuple(image.shape)}" for image in (images[-1], images[0]))
            raise UserError(f"{where} is {this} while the first is {first}: make all images alike")
    return _compact(torch.stack(images), part), torch.tensor(labels, dtype=torch.long)


def _as_tensor(image: Any, where: str) -> Tensor:
    if isinstance(image, Image.Image):
        channels = 1 if image.mode in GRAY_MODES else 3
        return torch.from_numpy(to_pixels(image, Decoding(image.size[::-1], channels), where).copy())
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1) if image.ndim == 3 else image))
    if not isinstance(image, Tensor):
        raise UserError(f"the image of {where} is a {type(image).__name__}: give a Pillow image, a tensor or an array")
    image = image[None] if image.dim() == 2 else image
    if image.dim() != 3 or image.shape[0] not in (1, 3):
        wanted = "1 or 3 channels, tensors as (C, H, W) and arrays as (H, W, C)"
        raise UserError(f"the image of {where} has shape {tuple(image.shape)}: give {wanted}")
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise UserError(f"the image of {where} is {image.dtype}: give uint8, or floats in [0, 1]")
    return image.detach().to("cpu", torch.uint8 if image.dtype == torch.uint8 else torch.float32)


def _as_label(label: Any, where: str) -> int:
    try:
        number = int(label)
    except (TypeError, ValueError, RuntimeError):
        raise UserError(f"the label of {where} is {label!r}: give class indices from 0 on") from None
    if number < 0 or number != label:
        raise UserError(f"the label of {where} is {label}: give class indices from 0 on")
    return number


def _compact(images: Tensor, part: str) -> Tensor:
    """Check floats, and store them as uint8 where dividing by 255 gives them back exactly."""
    if images.dtype == torch.uint8:
        return images
    if not torch.isfinite(images).all():
        raise UserError(f"the {part} data set has images with NaN or infinite pixels: remove or repair them")
    if images.min() < 0 or images.max() > 1:
        found = f"floats from {images.min():.3g} to {images.max():.3g}"
        raise UserError(f"the {part} data set has {found}: give them in [0, 1], without normalization")
    levels = images.mul(255).round().to(torch.uint8)
    return levels if torch.equal(levels.float().div_(255), images) else images
