"""From pixels to the space in which networks are trained, and back."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lightning_dd.artifact.files import save_tensors, tensor_digest
from lightning_dd.errors import UserError

LARGEST = 1e6
"""Of a mean, a standard deviation or the inverse of one: beyond it, single precision keeps few digits of pixels."""


def as_unit_floats(images: Tensor) -> Tensor:
    """Return images as float32 in [0, 1] pixel units; uint8 is divided by 255, floats are taken as they are."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


class Normalization:
    """Per-channel `(x - mean) / std` on images in [0, 1] pixel units, in which mean and std are too."""

    kind = "normalization"

    def __init__(self, mean: list[float], std: list[float]) -> None:
        self.mean, self.std = [float(m) for m in mean], [float(s) for s in std]
        self._tensors: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    @property
    def normalization(self) -> "Normalization":
        """The channel normalization itself."""
        return self

    def digest(self) -> None:
        """Return None: there are no matrices."""

    def describe(self) -> dict[str, Any]:
        """Return `mean` and `std`."""
        return {"mean": self.mean, "std": self.std}

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Raise a `UserError` where statistics do not fit images `(C, H, W)` or are not finite and positive."""
        channels = image_shape[0]
        if not len(self.mean) == len(self.std) == channels:
            raise UserError(f"Mean and std hold {len(self.mean)} and {len(self.std)} numbers for {channels} channels.")
        if not all(map(math.isfinite, [*self.mean, *self.std])) or min(self.std) <= 0:
            raise UserError(f"Mean {self.mean} and std {self.std} must be finite, and std above 0.")
        if max(map(abs, self.mean)) > LARGEST or min(self.std) < 1 / LARGEST or max(self.std) > LARGEST:
            raise UserError(f"Mean {self.mean} and std {self.std} are beyond what pixels have.")

    def __call__(self, images: Tensor) -> Tensor:
        """Map `(..., C, H, W)` uint8 or float images to the normalized space."""
        floats = as_unit_floats(images)
        mean, std = self._constants(floats)
        # in place after the first copy: a step's real images may take gigabytes
        return (floats.sub_(mean) if floats is not images else floats - mean).div_(std)

    def inverse(self, images: Tensor) -> Tensor:
        """Map normalized images `(..., C, H, W)` back to [0, 1] pixel units, without clipping."""
        mean, std = self._constants(images)
        return images * std + mean

    def _constants(self, images: Tensor) -> tuple[Tensor, Tensor]:
        place = images.device, images.dtype
        if place not in self._tensors:  # kept, so that nothing travels to the device at each step
            with torch.inference_mode(False):  # they must serve gradients too
                self._tensors[place] = tuple(images.new_tensor(v).view(-1, 1, 1) for v in (self.mean, self.std))
        return self._tensors[place]


@dataclass(eq=False, repr=False)
class Whitening:
    """ZCA whitening `((x - mean) / std - center) @ matrix`, with its inverse.

    The channel normalization comes first and is the identity (mean 0, std 1) in MTT's recipe.

    Args:
        normalization: before whitening.
        center: `(D,)` mean of the normalized training images, D = C*H*W.
        matrix: `(D, D)` symmetric whitening matrix.
        inverse_matrix: `(D, D)` its inverse.
    """

    normalization: Normalization
    center: Tensor
    matrix: Tensor
    inverse_matrix: Tensor

    kind = "whitening"

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The center and both matrices by name."""
        return {name: getattr(self, name) for name in ("center", "matrix", "inverse_matrix")}

    def digest(self) -> str:
        """Return the hash of the matrices, part of the name of their file."""
        return tensor_digest(self.tensors)

    def describe(self) -> dict[str, Any]:
        """Return `mean`, `std` and the digest of the `whitening`."""
        return {**self.normalization.describe(), "whitening": self.digest()}

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Raise a `UserError` where statistics or matrices do not fit images `(C, H, W)` or are not finite."""
        self.normalization.check(image_shape)
        size = math.prod(image_shape)
        shapes = {"center": (size,), "matrix": (size, size), "inverse_matrix": (size, size)}
        if {name: tuple(tensor.shape) for name, tensor in self.tensors.items()} != shapes:
            raise UserError(f"The whitening is not one of images of shape {tuple(image_shape)}.")
        if not all(tensor.isfinite().all() for tensor in self.tensors.values()):
            raise UserError("The whitening holds values that are not finite.")

    def to(self, device: torch.device | str) -> "Whitening":
        """Return the same transform with its matrices on another device."""
        return Whitening(self.normalization, **{name: tensor.to(device) for name, tensor in self.tensors.items()})

    def __call__(self, images: Tensor) -> Tensor:
        """Map `(..., C, H, W)` uint8 or float images to the whitened space."""
        with torch.autocast(images.device.type, enabled=False):  # bf16 would lose half a percent
            flat = _exact(self.normalization(images)).flatten(-3)
            return ((flat - self.center.to(flat)) @ self.matrix.to(flat)).view(images.shape)

    def inverse(self, images: Tensor) -> Tensor:
        """Map whitened images `(..., C, H, W)` back to [0, 1] pixel units, without clipping."""
        with torch.autocast(images.device.type, enabled=False):
            flat = _exact(images).flatten(-3)
            flat = flat @ self.inverse_matrix.to(flat) + self.center.to(flat)
            return self.normalization.inverse(flat.view(images.shape))


def _exact(images: Tensor) -> Tensor:
    return images.to(torch.promote_types(images.dtype, torch.float32))


Preprocessing = Normalization | Whitening


def save_preprocessing(preprocessing: Preprocessing, folder: Path) -> dict[str, Any]:
    """Return the description of a preprocessing, having written a whitening's matrices to a hashed file.

    Raises:
        UserError: the file cannot be written.
    """
    description = preprocessing.describe()
    if isinstance(preprocessing, Whitening):
        file, parts = _read_whitening(folder, description["whitening"])
        if parts is None:
            save_tensors(file, preprocessing.tensors)
    return description


def restore_preprocessing(description: dict[str, Any], folder: Path) -> Preprocessing:
    """Return the preprocessing that was described, with its matrices from the folder.

    Raises:
        UserError: the file of a whitening is missing or damaged.
        KeyError, TypeError, ValueError: the description is damaged.
    """
    normalization = Normalization(description["mean"], description["std"])
    if "whitening" not in description:
        return normalization
    file, parts = _read_whitening(folder, description["whitening"])
    if not file.is_file():
        raise UserError(f"The distilled set was whitened and needs {file.name} beside it; copy that file too.")
    if parts is None:
        raise UserError(f"{file} is damaged: its content does not fit the hash in its name; copy it again.")
    return Whitening(normalization, **parts)


def _read_whitening(folder: Path, digest: str) -> tuple[Path, dict[str, Tensor] | None]:
    """Return the file of a whitening and its matrices; None where it is missing or does not fit the digest."""
    file = folder / f"whitening-{digest}.safetensors"
    try:
        parts = load_file(file)
    except (SafetensorError, OSError):
        return file, None
    return file, parts if tensor_digest(parts) == digest else None
