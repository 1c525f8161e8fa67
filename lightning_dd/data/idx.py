"""Reading MNIST's idx files, plain or gzipped, with torchvision's readers."""

import gzip
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

from torch import Tensor
from torchvision.datasets.mnist import read_image_file, read_label_file

from lightning_dd.errors import UserError

DAMAGED = (AssertionError, OSError, EOFError, zlib.error, KeyError, TypeError, ValueError, RuntimeError)


def find_idx_folder(root: Path, *folders: str) -> Path | None:
    """Return the first of `root/<folder>` and `root` with idx files in it, or None."""
    for folder in [*(root / name for name in folders), root]:
        if any(folder.glob("*-idx?-ubyte*")):
            return folder
    return None


def read_idx(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    """Return images `(N, 1, H, W)` and labels `(N,)` of the "train" or the "test" part.

    Raises:
        UserError: names the file that is missing, cut off, not an idx file, or of another length than its fellow.
    """
    prefix = "train" if split == "train" else "t10k"
    images = _read(folder / f"{prefix}-images-idx3-ubyte", read_image_file).unsqueeze(1)
    labels = _read(folder / f"{prefix}-labels-idx1-ubyte", read_label_file)
    if len(images) != len(labels):
        raise UserError(
            f"{folder} has {len(images)} {prefix} images but {len(labels)} {prefix} labels: fetch the files again"
        )
    return images, labels


def _read(path: Path, reader: Callable[[str], Tensor]) -> Tensor:
    zipped = path.with_name(path.name + ".gz")
    if not path.exists() and not zipped.exists():
        raise UserError(
            f"{path.name} is missing from {path.parent}, plain or as .gz: add it or set {{data.download}} to true"
        )
    try:
        return reader(str(path)) if path.exists() else _read_zipped(zipped, reader)
    except DAMAGED:
        damaged = path if path.exists() else zipped
        raise UserError(f"{damaged} is cut off or not an idx file of its kind: fetch it again") from None


def _read_zipped(path: Path, reader: Callable[[str], Tensor]) -> Tensor:
    # torchvision's readers open a path themselves.
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain"
        plain.write_bytes(gzip.decompress(path.read_bytes()))
        return reader(str(plain))
