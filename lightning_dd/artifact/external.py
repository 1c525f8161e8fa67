"""Distilled sets of other programs: `.pt` files with images and labels, read without executing pickled code.

The code of DC, DSA and DM writes one file, `{"data": [[images, labels], ...]}`, a pair for each repetition, with
accuracies. MTT's writes `images_best.pt` and `labels_best.pt`; DATM's also `lr_best.pt`, the learned step size, and its
labels are logits. A plain pair of images and labels, as a list, a tuple or a dictionary, is read as well.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.preprocessing import Preprocessing
from lightning_dd.artifact.schema import positive
from lightning_dd.artifact.unpickle import DamagedFileError, check_tensor, read_pickled
from lightning_dd.errors import UserError

BEST = "images_best.pt"


@dataclass(frozen=True)
class ForeignSet:
    """Images and labels of another program.

    Attributes:
        images: `(N, C, H, W)` float32, in the space in which that program trained (normalized or whitened).
        labels: `(N,)` class indices, or `(N, num_classes)`.
        label_kind: `"index"`, `"probabilities"` or `"logits"`.
        step_size: the learned learning rate, where the program saved one.
    """

    images: Tensor
    labels: Tensor
    label_kind: str
    step_size: float | None = None

    @property
    def looks_like_pixels(self) -> bool:
        """Whether all values lie in [0, 1], as those of normalized images hardly do."""
        return bool(self.images.min() >= 0) and bool(self.images.max() <= 1)

    def distilled(self, class_names: tuple[str, ...], preprocessing: Preprocessing) -> DistilledDataset:
        """Return the set as a `DistilledDataset`, under the preprocessing of the program that made it.

        Raises:
            UserError: the labels are not those of such classes.
        """
        highest = int(self.labels.max()) + 1 if self.label_kind == "index" else self.labels.shape[1]
        if highest > len(class_names) or (self.label_kind != "index" and highest != len(class_names)):
            raise UserError(f"The set has labels of {highest} classes, but the data have {len(class_names)}.")
        recipe = {} if self.step_size is None else {"step_size": self.step_size}
        pixels = preprocessing.inverse(self.images)
        return DistilledDataset(pixels, self.labels, class_names, preprocessing, self.label_kind, recipe)


def read_foreign(path: str | os.PathLike) -> list[ForeignSet]:
    """Read the sets in a `.pt` file; of a pair of files, that of the images, or the folder with `images_best.pt`.

    Raises:
        UserError: there is no such file, it holds more than tensors and numbers, or no images with labels.
    """
    path = Path(path) / BEST if Path(path).is_dir() else Path(path)
    content = _load(path)
    if isinstance(content, Tensor):
        labels, rate = (path.with_name(path.name.replace("images", part, 1)) for part in ("labels", "lr"))
        if labels == path or not labels.is_file():
            raise UserError(f"{path} holds images without labels; name it images_X.pt and put labels_X.pt beside it.")
        pairs = [(content, _load(labels))]
        step_size = _step_size(rate) if rate.is_file() else None
    else:
        pairs, step_size = _pairs(content), None
    if not pairs or not all(isinstance(part, Tensor) for pair in pairs for part in pair):
        known = "known are the files of DC, MTT and DATM"
        raise UserError(f"{path} holds no pairs of images and labels as tensors; {known}.")
    for part in {id(part): part for pair in pairs for part in pair}.values():
        check_tensor(part, str(path))
    return [_checked(images, labels, step_size, path) for images, labels in pairs]


def _step_size(path: Path) -> float:
    content = _load(path)
    if isinstance(content, Tensor) and content.numel() == 1 and not content.is_complex():
        content = content.item()
    if not positive(content):
        raise UserError(f"{path} holds no learning rate: wanted is a number above 0.")
    return float(content)


def _load(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(_numbers_of_numpy()):
            return read_pickled(path)
    except DamagedFileError:
        remedy = "load it where it was made and save [images, labels] as tensors"
        raise UserError(f"{path} cannot be read as tensors alone; {remedy}.") from None


def _numbers_of_numpy() -> list[Any]:
    """Return the classes in pickled NumPy numbers, such as the accuracies in DC's files."""
    scalar = np.float64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")  # before NumPy 2, and since
    kinds = [type(np.dtype(kind)) for kind in ("float64", "float32", "int64")]
    return [*((scalar, name) for name in names), np.dtype, *kinds]


def _pairs(content: Any) -> list[tuple[Any, Any]]:
    """Return possible pairs of images and labels."""
    if isinstance(content, dict):
        if "images" in content and "labels" in content:
            return [(content["images"], content["labels"])]
        content = content.get("data")
    if not isinstance(content, list | tuple):
        return []
    if len(content) == 2 and all(isinstance(part, Tensor) for part in content):
        return [tuple(content)]
    return [tuple(pair) for pair in content if isinstance(pair, list | tuple) and len(pair) == 2]


def _checked(images: Tensor, labels: Tensor, step_size: float | None, path: Path) -> ForeignSet:
    if images.ndim != 4 or labels.ndim not in (1, 2) or len(images) != len(labels) or not len(images):
        shapes = f"images of shape {tuple(images.shape)} and labels of shape {tuple(labels.shape)}"
        raise UserError(f"{path} holds {shapes}; wanted are (N, C, H, W) and (N,) or (N, classes).")
    if not images.is_floating_point() or not images.isfinite().all() or not images.numel():
        raise UserError(f"{path} holds images of the kind {images.dtype}; wanted are finite floats.")
    images = images.detach().float()
    if labels.is_complex() or labels.dtype == torch.bool or not labels.isfinite().all():
        raise UserError(f"{path} holds labels of the kind {labels.dtype}; wanted are finite integers or floats.")
    if labels.ndim == 1:
        if (labels != labels.long()).any() or labels.min() < 0:
            raise UserError(f"{path} holds labels that are no whole numbers from 0 on.")
        return ForeignSet(images, labels.detach().long(), "index", step_size)
    labels = labels.detach().float()
    distributions = (labels >= 0).all() and torch.allclose(labels.sum(1), torch.ones(len(labels)), atol=1e-4)
    return ForeignSet(images, labels, "probabilities" if distributions else "logits", step_size)
