"""Data modules: every known set, any folder, any Parquet files, any torch data set."""

from lightning_dd.data.digits import Digits
from lightning_dd.data.folder import ImageFolder
from lightning_dd.data.module import ImageData
from lightning_dd.data.parquet import Parquet
from lightning_dd.data.tensors import FromDataset
from lightning_dd.data.tiny_imagenet import TinyImageNet
from lightning_dd.data.torchvision_sets import CIFAR10, CIFAR100, MNIST, SVHN, FashionMNIST

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "MNIST",
    "SVHN",
    "Digits",
    "FashionMNIST",
    "FromDataset",
    "ImageData",
    "ImageFolder",
    "Parquet",
    "TinyImageNet",
]
