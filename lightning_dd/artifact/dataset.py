"""The product of a run: distilled images in one file that anyone can train on.

Reading it needs torch and safetensors only. Images are stored as unclipped float32 in [0, 1] pixel units, so that they
mean something outside this package; indexing gives them in the space in which networks are trained.
"""

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import Dataset

from lightning_dd.artifact.files import atomic
from lightning_dd.artifact.preprocessing import Normalization, Preprocessing, Whitening
from lightning_dd.errors import UserError

FORMAT = "lightning_dd.distilled"
FORMAT_VERSION = 1
LABEL_KINDS = ("index", "probabilities", "logits", "targets")
LARGEST_FLOAT = 2.0  # of pixels in [0, 1], which interpolation may leave a little


@dataclass(repr=False)
class DistilledDataset(Dataset):
    """Synthetic images and labels with everything needed to train on them.

    Attributes:
        images: `(N, C, H, W)` float32 in [0, 1] pixel units, unclipped, class-major.
        labels: `(N,)` int64 class indices, or `(N, num_classes)` float32 for the soft kinds.
        class_names: in the order of the class indices.
        preprocessing: from pixel units to the space in which networks are trained; test images need it too.
        label_kind: `"index"`, `"probabilities"`, `"logits"` or `"targets"` (of a regression).
        recipe: how networks are trained on it: `protocol`, `augmentation`, learned `step_size`.
        tensors: what a method needs besides (step sizes, order of batches, initial weights).
        info: method, paper, data set, config, seed, versions, accuracy.
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    label_kind: str = "index"
    recipe: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.class_names = tuple(self.class_names)
        self._prepared: Tensor | None = None
        _check(self)

    def __repr__(self) -> str:
        made = " ".join(str(self.info[key]) for key in ("method", "dataset") if key in self.info)
        shape = "x".join(map(str, self.image_shape))
        return f"DistilledDataset({made + ': ' if made else ''}{len(self)} images {shape}, {self.num_classes} classes)"

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int | Tensor]:
        """Return a preprocessed image `(C, H, W)` and its label: an int, or a vector for soft labels."""
        label = self.labels[index]
        return self.prepared[index], label.item() if self.label_kind == "index" else label

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(C, H, W)` of each image."""
        return tuple(self.images.shape[1:])

    @property
    def ipc(self) -> int:
        """Images per class."""
        return len(self) // self.num_classes

    @property
    def prepared(self) -> Tensor:
        """All images `(N, C, H, W)` in the space in which networks are trained."""
        if self._prepared is None:
            self._prepared = self.preprocessing(self.images)
        return self._prepared

    @property
    def hard_labels(self) -> Tensor:
        """`(N,)` class indices; the arg-max of soft labels."""
        return self.labels if self.label_kind == "index" else self.labels.argmax(1)

    def preprocess(self, images: Tensor) -> Tensor:
        """Prepare real images for a network trained on this set: normalise or whiten them.

        Args:
            images: `(..., C, H, W)` of this set's `image_shape`, uint8 or float in [0, 1].

        Raises:
            UserError: the images have another shape, for nothing is resized here, or are floats from 0 to 255.
        """
        if tuple(images.shape[-3:]) != self.image_shape:
            raise UserError(
                f"Images of shape {tuple(images.shape)} do not end in {self.image_shape}; resize them first."
            )
        if images.is_floating_point() and images.numel() and images.max() > LARGEST_FLOAT:
            raise UserError(f"Images as floats are in [0, 1], and these reach {images.max():g}: divide them by 255.")
        return self.preprocessing(images)

    def save(self, path: str | os.PathLike) -> None:
        """Write the set to one safetensors file; a whitening matrix goes to a hashed file beside it.

        Raises:
            UserError: the file cannot be written.
        """
        description = {
            "class_names": self.class_names,
            "label_kind": self.label_kind,
            "preprocessing": _describe_preprocessing(self.preprocessing, Path(path).parent),
            "recipe": self.recipe,
            "info": self.info,
        }
        metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION), "description": json.dumps(description)}
        tensors = {"images": self.images, "labels": self.labels, **self.tensors}
        _save_tensors(path, tensors, metadata)

    def save_picture(self, path: str | os.PathLike) -> None:
        """Write a PNG with the images, clipped to the valid range, under their class names."""
        from lightning_dd.artifact.picture import save_picture

        save_picture(path, self.images, self.hard_labels, self.class_names)


def load(path: str | os.PathLike) -> DistilledDataset:
    """Read a distilled set.

    Args:
        path: a `distilled.safetensors` file, the run's folder that holds one, or the folder of several runs, of which
            the newest is taken.

    Raises:
        UserError: the file is missing, damaged, of another format or of a newer version.
    """
    given, path = path, Path(path)
    if path.is_dir():
        path = _newest(path)
    if not path.is_file():
        where = f"The folder {given} holds no distilled set" if path != Path(given) else f"There is nothing at {given}"
        raise UserError(f"{where}; give the folder of a run that has ended, or its distilled.safetensors.")
    tensors, metadata = _read(path)
    if metadata.get("format") != FORMAT:
        raise UserError(f"{path} is a safetensors file but not a distilled data set of this program.")
    try:
        version = int(metadata["format_version"])
        if version > FORMAT_VERSION:
            raise UserError(f"{path} has format version {version}, newer than this program; install a newer release.")
        description = json.loads(metadata["description"])
        description["preprocessing"] = _restore_preprocessing(description["preprocessing"], path.parent)
        images, labels = tensors.pop("images"), tensors.pop("labels")
        return DistilledDataset(images=images, labels=labels, tensors=tensors, **description)
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path} lacks a part of its description; it is damaged, copy or make it again.") from None


def _newest(folder: Path) -> Path:
    file = folder / "distilled.safetensors"
    runs = [] if file.is_file() else list(folder.glob(f"version_*/{file.name}"))
    return max(runs, key=lambda path: int(path.parent.name.removeprefix("version_")), default=file)


def _check(distilled: DistilledDataset) -> None:
    images, labels = distilled.images, distilled.labels
    if images.ndim != 4 or len(images) != len(labels):
        raise UserError(f"{tuple(images.shape)} images do not go with {tuple(labels.shape)} labels in a distilled set.")
    if distilled.label_kind not in LABEL_KINDS:
        raise UserError(f"Label kind '{distilled.label_kind}' is unknown; it is one of {', '.join(LABEL_KINDS)}.")
    if not images.isfinite().all():
        raise UserError("The distilled images hold values that are not finite; the run that made them diverged.")


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read as a distilled data set ({error}).") from None


def _save_tensors(path: str | os.PathLike, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    # copies: the library refuses tensors that share memory, as tied weights do
    own = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    with atomic(path) as temporary:
        try:
            save_file(own, temporary, metadata)
        except SafetensorError as error:  # how the library reports a full disk
            raise OSError(str(error)) from None


def _describe_preprocessing(preprocessing: Preprocessing, folder: Path) -> dict[str, Any]:
    normalization = preprocessing if isinstance(preprocessing, Normalization) else preprocessing.normalization
    description = {"mean": normalization.mean, "std": normalization.std}
    if isinstance(preprocessing, Whitening):
        parts = _whitening_tensors(preprocessing)
        digest = _digest(parts)
        file = folder / f"whitening-{digest}.safetensors"
        if _read_whitening(file, digest) is None:
            _save_tensors(file, parts)
        description["whitening"] = digest
    return description


def _restore_preprocessing(description: dict[str, Any], folder: Path) -> Preprocessing:
    normalization = Normalization(description["mean"], description["std"])
    if "whitening" not in description:
        return normalization
    file = folder / f"whitening-{description['whitening']}.safetensors"
    if not file.is_file():
        raise UserError(f"The distilled set was whitened and needs {file.name} beside it; copy that file too.")
    parts = _read_whitening(file, description["whitening"])
    if parts is None:
        raise UserError(f"{file} is damaged: its content does not fit the hash in its name; copy it again.")
    return Whitening(normalization, **parts)


def _read_whitening(file: Path, digest: str) -> dict[str, Tensor] | None:
    """Return the matrices in a file; None where it is not there or its content does not fit the digest."""
    try:
        parts = load_file(file)
    except (SafetensorError, OSError):
        return None
    return parts if _digest(parts) == digest else None


def _whitening_tensors(whitening: Whitening) -> dict[str, Tensor]:
    return {name: getattr(whitening, name) for name in ("center", "matrix", "inverse_matrix")}


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
