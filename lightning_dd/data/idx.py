"""MNIST's idx files, plain or gzipped."""

import gzip
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

from lightning_dd.errors import UserError

DAMAGED = (OSError, EOFError, zlib.error, struct.error, ValueError, RuntimeError)
UINT8 = 0x0800  # in a file's first number, beside the number of dimensions


def find_idx_folder(root: Path, *folders: str) -> Path | None:
    """Return the first of `root/<folder>` and `root` with idx files in it, or None."""
    for folder in [*(root / name for name in folders), root]:
        if any(folder.glob("*-idx?-ubyte*")):
            return folder
    return None


def read_idx(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    """Return images `(N, 1, H, W)` uint8 and labels `(N,)` int64 of the "train" or the "test" part.

    Raises:
        UserError: a file is missing, cut off, not an idx file, or of another length than its fellow.
    """
    prefix = "train" if split == "train" else "t10k"
    images = _read(folder / f"{prefix}-images-idx3-ubyte", 3).unsqueeze(1)
    labels = _read(folder / f"{prefix}-labels-idx1-ubyte", 1).long()
    if len(images) != len(labels):
        raise UserError(
            f"{folder} has {len(images)} {prefix} images but {len(labels)} {prefix} labels: fetch the files again"
        )
    return images, labels


def _read(path: Path, dimensions: int) -> Tensor:
    plain = path.exists()
    file = path if plain else path.with_name(path.name + ".gz")
    if not file.exists():
        raise UserError(
            f"{path.name} is missing from {path.parent}, plain or as .gz: add it or set {{data.download}} to true"
        )
    try:
        content = file.read_bytes() if plain else gzip.decompress(file.read_bytes())
        kind, *shape = struct.unpack_from(f">{1 + dimensions}I", content)
        if kind != UINT8 + dimensions:
            raise ValueError(kind)
        return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=4 + 4 * dimensions).view(shape)
    except DAMAGED:
        raise UserError(f"{file} is cut off or not an idx file of its kind: fetch it again") from None
