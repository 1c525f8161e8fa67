"""The one door for files that torch pickled: checkpoints, and distilled sets of other programs. Nothing is executed."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_dd.errors import UserError


class DamagedFileError(UserError):
    """A file is damaged, of another format, or holds objects that would be executed."""


def read_pickled(path: Path) -> Any:
    """Return tensors and plain values of a file, on the CPU.

    Raises:
        DamagedFileError: it holds something else, or more than its size.
        UserError: it cannot be opened.
    """
    if not path.is_file():  # a device or a pipe would never end
        raise UserError(f"There is no file {path}.")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:  # torch compresses nothing: what is compressed could be endless
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise DamagedFileError(f"{path} is compressed, which files of torch are not.")
        return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except OSError as error:
        if error.errno and error.filename:
            raise UserError(f"Cannot read {path}: {error.strerror}.") from None
        raise DamagedFileError(f"{path} is damaged.") from None
    except Exception:  # unpickling fails in many ways, and all mean the same to a user
        raise DamagedFileError(f"{path} is damaged, or holds more than tensors and plain values.") from None


def check_tensor(tensor: Tensor, name: str) -> None:
    """Refuse a tensor that is not there in full: sparse, quantized, without values, or larger than what is stored.

    Raises:
        UserError: calls it by its `name`.
    """
    plain = tensor.layout == torch.strided and not tensor.is_quantized and tensor.device.type == "cpu"
    if not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise UserError(f"{name} holds a tensor that is not stored in full; save it as a plain one.")


def tensors_in(content: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Give all tensors in tables and lists, with their places."""
    if isinstance(content, Tensor):
        yield name, content
    elif isinstance(content, dict | list | tuple):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, part in items:
            yield from tensors_in(part, f"{name}.{key}".lstrip("."))
