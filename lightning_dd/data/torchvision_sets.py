"""MNIST, FashionMNIST, SVHN, CIFAR10 and CIFAR100, from torchvision's files or from the hub's Parquet files."""

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import torch
import torchvision.datasets
from torch import Tensor

from lightning_dd.data import catalog
from lightning_dd.data.cache import cached
from lightning_dd.data.hub import find_hub_set
from lightning_dd.data.module import ImageData
from lightning_dd.errors import UserError

DAMAGED = (OSError, EOFError, zlib.error, struct.error, ValueError, RuntimeError)
UINT8 = 0x0800  # in an idx file's first number, beside the number of dimensions


class TorchvisionData(ImageData):
    """A set that torchvision can download.

    Args:
        root: holds torchvision's folder, or a folder of Parquet files; or is that folder itself.
        download: let torchvision fetch the files where there are none.
        **options: those of `ImageData`.

    Raises:
        UserError: from `prepare_data` or `setup`, if files are missing, damaged or cannot be fetched.
    """

    dataset: type
    original_folders: tuple[str, ...] = ("",)
    """Places in `root` where torchvision's files may lie, in the order of the search."""
    original_files: str
    """A pattern of these files; `shown_as` names them to the user."""
    shown_as: str
    hub_folders: tuple[str, ...]

    def __init__(self, root: str = "data", download: bool = False, **options: Any) -> None:
        super().__init__(root, **options)
        self.download = download

    def find_original(self) -> Path | None:
        """Return the folder to read torchvision's files from, or None where there are none."""
        folders = (Path(self.root) / name for name in self.original_folders)
        return next((folder for folder in folders if any(folder.glob(self.original_files))), None)

    def read_original(self, folder: Path, split: str) -> tuple[Tensor, Tensor]:
        """Return images `(N, C, H, W)` uint8 and labels `(N,)` from torchvision's files."""
        raise NotImplementedError

    def fetch(self) -> None:
        """Download with torchvision."""
        self.dataset(self.root, download=True)

    def prepare_data(self) -> None:
        """Fetch the files, if that was asked for and there are none."""
        if not self.download or self.find_original() or find_hub_set(Path(self.root), *self.hub_folders):
            return
        try:
            self.fetch()
        except (OSError, RuntimeError) as error:
            raise UserError(f"{self.name} could not be downloaded to {self.root} ({error}): try again later") from None

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Return the images and labels of the "train" or the "test" part."""
        if folder := self.find_original():
            images, labels = self.read_original(folder, split)
            if tuple(images.shape[1:]) != self.image_shape:
                shapes = f"{tuple(images.shape[1:])}, but {self.name} has {self.image_shape}"
                raise UserError(f"images in {folder} are {shapes}: name the right folder")
            return images, labels
        hub_set = find_hub_set(Path(self.root), *self.hub_folders)
        if hub_set is None:
            raise UserError(
                f"{self.name} was not found in {Path(self.root)}, neither as {self.shown_as} nor as "
                f"{self.hub_folders[0]}/*.parquet: check {{data.root}} or set {{data.download}} to true"
            )
        return hub_set.known_part(split, self.image_shape, self.num_classes, self.cache)


class MNIST(TorchvisionData):
    """MNIST: handwritten digits, 60,000 + 10,000 gray 28x28 images; see `TorchvisionData` for the arguments."""

    facts = catalog.MNIST
    dataset = torchvision.datasets.MNIST
    original_folders = ("MNIST/raw", "raw", "")
    original_files = "*-idx?-ubyte*"
    shown_as = "MNIST/raw/*-ubyte(.gz)"
    hub_folders = ("mnist", "MNIST")

    def read_original(self, folder: Path, split: str) -> tuple[Tensor, Tensor]:
        """Return images and labels from idx files."""
        return read_idx(folder, split)


class FashionMNIST(MNIST):
    """Fashion-MNIST: clothes, 60,000 + 10,000 gray 28x28 images; see `TorchvisionData` for the arguments."""

    facts = catalog.FASHION_MNIST
    dataset = torchvision.datasets.FashionMNIST
    original_folders = ("FashionMNIST/raw", "raw", "")
    shown_as = "FashionMNIST/raw/*-ubyte(.gz)"
    hub_folders = ("fashion_mnist", "fashion-mnist", "FashionMNIST")


class CIFAR10(TorchvisionData):
    """CIFAR-10: 50,000 + 10,000 color 32x32 images; see `TorchvisionData` for the arguments."""

    facts = catalog.CIFAR10
    dataset = torchvision.datasets.CIFAR10
    original_files = shown_as = "cifar-10-batches-py"
    hub_folders = ("cifar10", "cifar-10", "CIFAR10")

    def find_original(self) -> Path | None:
        """Return the folder that holds torchvision's folder, which `root` may also name itself."""
        root = Path(self.root)
        return super().find_original() or (root.parent if root.name == self.original_files and root.is_dir() else None)

    def read_original(self, folder: Path, split: str) -> tuple[Tensor, Tensor]:
        """Return images and labels from torchvision's files, whose checksums torchvision tests."""
        try:
            data = self.dataset(str(folder), train=split == "train")
        except RuntimeError:
            broken = f"{folder / self.original_files} is incomplete or damaged"
            raise UserError(f"{broken}: delete it and set {{data.download}} to true") from None
        images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
        return images, torch.tensor(data.targets, dtype=torch.long)


class CIFAR100(CIFAR10):
    """CIFAR-100: 50,000 + 10,000 color 32x32 images, fine labels; see `TorchvisionData` for the arguments."""

    facts = catalog.CIFAR100
    dataset = torchvision.datasets.CIFAR100
    original_files = shown_as = "cifar-100-python"
    hub_folders = ("cifar100", "cifar-100", "CIFAR100")


class SVHN(TorchvisionData):
    """SVHN: house numbers, 73,257 + 26,032 color 32x32 images; see `TorchvisionData` for the arguments."""

    facts = catalog.SVHN
    dataset = torchvision.datasets.SVHN
    original_folders = ("", "svhn", "SVHN")
    original_files = shown_as = "train_32x32.mat"
    hub_folders = ("svhn/cropped_digits", "cropped_digits", "svhn", "SVHN")

    def read_original(self, folder: Path, split: str) -> tuple[Tensor, Tensor]:
        """Return images and labels from .mat files, whose checksums torchvision tests."""

        def build() -> dict[str, Tensor]:
            try:
                data = self.dataset(str(folder), split=split)
            except RuntimeError:
                raise UserError(f"{file} is missing or damaged: delete it and set {{data.download}} to true") from None
            images = torch.from_numpy(data.data).contiguous()
            return {"images": images, "labels": torch.from_numpy(data.labels).long()}

        file = folder / f"{split}_32x32.mat"
        # Inflating a .mat file takes much longer than reading the pixels back.
        parts = cached([file], {"set": "svhn"}, build, self.cache and file.exists())
        return parts["images"], parts["labels"]

    def fetch(self) -> None:
        """Download with torchvision."""
        for split in ("train", "test"):
            self.dataset(self.root, split=split, download=True)


def read_idx(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    """Return images `(N, 1, H, W)` uint8 and labels `(N,)` int64 of the "train" or the "test" part.

    Raises:
        UserError: a file is missing, cut off, not an idx file, or of another length than the other.
    """
    prefix = "train" if split == "train" else "t10k"
    images = _read_idx_file(folder / f"{prefix}-images-idx3-ubyte", 3).unsqueeze(1)
    labels = _read_idx_file(folder / f"{prefix}-labels-idx1-ubyte", 1).long()
    if len(images) != len(labels):
        numbers = f"{len(images)} {prefix} images but {len(labels)} {prefix} labels"
        raise UserError(f"{folder} has {numbers}: fetch the files again")
    return images, labels


def _read_idx_file(path: Path, dimensions: int) -> Tensor:
    plain = path.exists()
    file = path if plain else path.with_name(path.name + ".gz")
    if not file.exists():
        missing = f"{path.name} is missing from {path.parent}, plain or as .gz"
        raise UserError(f"{missing}: add it or set {{data.download}} to true")
    try:
        content = file.read_bytes() if plain else gzip.decompress(file.read_bytes())
        kind, *shape = struct.unpack_from(f">{1 + dimensions}I", content)
        if kind != UINT8 + dimensions:
            raise ValueError(kind)
        return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=4 + 4 * dimensions).view(shape)
    except DAMAGED:
        raise UserError(f"{file} is cut off or not an idx file of its kind: fetch it again") from None
