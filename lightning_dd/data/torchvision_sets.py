"""MNIST, FashionMNIST, SVHN, CIFAR10 and CIFAR100, from torchvision's files or from the hub's Parquet files."""

from pathlib import Path
from typing import Any

import torch
import torchvision.datasets
from torch import Tensor

from lightning_dd.data import catalogue
from lightning_dd.data.cache import cached
from lightning_dd.data.decoding import Decoding
from lightning_dd.data.hub import find_hub_set
from lightning_dd.data.idx import find_idx_folder, read_idx
from lightning_dd.data.module import ImageData
from lightning_dd.errors import UserError


class TorchvisionData(ImageData):
    """What the sets that torchvision can download have in common.

    A subclass says where its files may lie and how torchvision reads them.

    Args:
        root: holds torchvision's folder, or a folder of Parquet files; or is that folder itself.
        download: let torchvision fetch the files where there are none.
        **kwargs: of `ImageData`.

    Raises:
        UserError: from `prepare_data` or `setup`, if files are missing, damaged or cannot be fetched.
    """

    # What `root` may hold: shown where nothing is found, and looked for in this order.
    original_files: str
    hub_folders: tuple[str, ...]
    label_column: str | None = None

    def __init__(self, root: str = "data", download: bool = False, **kwargs: Any) -> None:
        super().__init__(root, **kwargs)
        self.download = download

    def find_original(self) -> Path | None:
        """Return the folder to read torchvision's files from, or None where there are none."""
        raise NotImplementedError

    def read_original(self, folder: Path, split: str) -> tuple[Tensor, Tensor]:
        """Return images and labels from torchvision's files."""
        raise NotImplementedError

    def fetch(self) -> None:
        """Download with torchvision."""
        raise NotImplementedError

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
                raise UserError(
                    f"images in {folder} are {tuple(images.shape[1:])}, but {self.name} has {self.image_shape}: "
                    "name the right folder"
                )
            return images, labels
        return self._read_hub(split)

    def _read_hub(self, split: str) -> tuple[Tensor, Tensor]:
        root = Path(self.root)
        hub_set = find_hub_set(root, *self.hub_folders, label_column=self.label_column)
        if hub_set is None:
            raise UserError(
                f"{self.name} was not found in {root}, neither as {self.original_files} nor as "
                f"{self.hub_folders[0]}/*.parquet: check {{data.root}} or set {{data.download}} to true"
            )
        if split not in hub_set.splits:
            raise UserError(f"{hub_set.root} has no Parquet files for the {split} part: add them")
        labels = hub_set.indexed_labels(split, self.num_classes)
        how = Decoding(self.image_shape[1:], self.image_shape[0])
        return hub_set.images(split, how, self.cache)["images"], labels


class MNIST(TorchvisionData):
    """MNIST: handwritten digits, 60,000 + 10,000 gray 28x28 images; see `TorchvisionData` for the arguments."""

    facts = catalogue.MNIST
    original_files = "MNIST/raw/*-ubyte(.gz)"
    hub_folders = ("mnist", "MNIST")
    dataset = torchvision.datasets.MNIST

    def find_original(self) -> Path | None:
        """Return the folder with idx files."""
        return find_idx_folder(Path(self.root), f"{self.dataset.__name__}/raw", "raw")

    def read_original(self, folder: Path, split: str) -> tuple[Tensor, Tensor]:
        """Return images and labels from idx files."""
        return read_idx(folder, split)

    def fetch(self) -> None:
        """Download with torchvision."""
        self.dataset(self.root, download=True)


class FashionMNIST(MNIST):
    """Fashion-MNIST: clothes, 60,000 + 10,000 gray 28x28 images; see `TorchvisionData` for the arguments."""

    facts = catalogue.FASHION_MNIST
    original_files = "FashionMNIST/raw/*-ubyte(.gz)"
    hub_folders = ("fashion_mnist", "fashion-mnist", "FashionMNIST")
    dataset = torchvision.datasets.FashionMNIST


class CIFAR10(TorchvisionData):
    """CIFAR-10: 50,000 + 10,000 colour 32x32 images; see `TorchvisionData` for the arguments."""

    facts = catalogue.CIFAR10
    original_files = "cifar-10-batches-py"
    hub_folders = ("cifar10", "cifar-10", "CIFAR10")
    dataset = torchvision.datasets.CIFAR10

    def find_original(self) -> Path | None:
        """Return the folder that holds torchvision's folder, which `root` may also name itself."""
        root = Path(self.root)
        inner = self.dataset.base_folder
        if (root / inner).is_dir():
            return root
        return root.parent if root.name == inner and root.is_dir() else None

    def read_original(self, folder: Path, split: str) -> tuple[Tensor, Tensor]:
        """Return images and labels from torchvision's files, whose checksums torchvision tests."""
        try:
            data = self.dataset(str(folder), train=split == "train")
        except RuntimeError:
            raise UserError(
                f"{folder / self.dataset.base_folder} is incomplete or damaged: delete it and "
                "set {data.download} to true"
            ) from None
        images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
        return images, torch.tensor(data.targets, dtype=torch.long)

    def fetch(self) -> None:
        """Download with torchvision."""
        self.dataset(self.root, download=True)


class CIFAR100(CIFAR10):
    """CIFAR-100: 50,000 + 10,000 colour 32x32 images, fine labels; see `TorchvisionData` for the arguments."""

    facts = catalogue.CIFAR100
    original_files = "cifar-100-python"
    hub_folders = ("cifar100", "cifar-100", "CIFAR100")
    dataset = torchvision.datasets.CIFAR100


class SVHN(TorchvisionData):
    """SVHN: house numbers, 73,257 + 26,032 colour 32x32 images; see `TorchvisionData` for the arguments."""

    facts = catalogue.SVHN
    original_files = "train_32x32.mat"
    hub_folders = ("svhn", "SVHN", "svhn/cropped_digits", "cropped_digits")

    def find_original(self) -> Path | None:
        """Return the folder with .mat files."""
        root = Path(self.root)
        return next((f for f in (root, root / "svhn", root / "SVHN") if (f / self.original_files).is_file()), None)

    def read_original(self, folder: Path, split: str) -> tuple[Tensor, Tensor]:
        """Return images and labels from .mat files, whose checksums torchvision tests."""

        def build() -> dict[str, Tensor]:
            try:
                data = torchvision.datasets.SVHN(str(folder), split=split)
            except RuntimeError:
                raise UserError(f"{file} is missing or damaged: delete it and set {{data.download}} to true") from None
            images = torch.from_numpy(data.data).contiguous()
            return {"images": images, "labels": torch.from_numpy(data.labels).long()}

        file = folder / f"{split}_32x32.mat"
        # Inflating a .mat file takes much longer than reading the pixels back.
        parts = cached([file], {"set": "svhn"}, build) if self.cache and file.exists() else build()
        return parts["images"], parts["labels"]

    def fetch(self) -> None:
        """Download with torchvision."""
        for split in ("train", "test"):
            torchvision.datasets.SVHN(self.root, split=split, download=True)
