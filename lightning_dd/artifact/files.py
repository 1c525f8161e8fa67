"""Files that are either whole or not there."""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from lightning_dd.errors import UserError

TEMPORARY = re.compile(r"\..+(\.\w+)\.[a-z0-9_]{8}\1")
"""Names of the temporary files of `atomic`."""


@contextmanager
def atomic(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path in the same folder; move it to `path` if the block succeeds.

    A crash, a kill or a full disk leaves the previous file untouched.

    Raises:
        UserError: the folder or the file cannot be written.
    """
    path = Path(path)
    temporary = None
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "no regular file"
        raise UserError(f"Cannot write {path}: it is {kind}; give the name of a file.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        mask = os.umask(0)  # mkstemp makes files private; this one should be as readable as any other new file
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"Cannot write {path}: {reason}; free some space or give another folder.") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def remove_abandoned(folder: Path) -> None:
    """Remove what processes that were killed while they wrote left in a folder, which nobody else writes into."""
    for path in folder.glob(".*"):
        if TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def check_folder(folder: Path) -> None:
    """Find out whether files can be written into a folder, which is made where it does not exist.

    Raises:
        UserError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"Cannot write into {folder}: {error.strerror}; give another folder.") from None


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write JSON atomically, indented for people."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def save_tensors(path: str | os.PathLike, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file atomically, from tensors on any device, which may share memory.

    Raises:
        UserError: the file cannot be written.
    """
    own, places = {}, set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        place = tensor.untyped_storage().data_ptr()
        own[name] = tensor.clone() if place in places else tensor  # the library refuses tensors that share memory
        places.add(place)
    with atomic(path) as temporary:
        try:
            save_file(own, temporary, metadata)
        except SafetensorError as error:  # how the library reports a full disk
            raise OSError(str(error)) from None


def tensor_digest(tensors: dict[str, Tensor]) -> str:
    """Return sixteen hexadecimal digits that differ where names or values of tensors do."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].detach().cpu().flatten().view(torch.uint8).numpy())
    return found.hexdigest()[:16]


def newest_run(folder: Path, file: str) -> Path | None:
    """Return a file of a run's folder, or of the newest of several runs `version_N` in a folder; None where none is."""
    if (folder / file).is_file():
        return folder / file
    runs = {path.relative_to(folder).parts[0][len("version_") :]: path for path in folder.glob(f"version_*/{file}")}
    return max(((int(number), path) for number, path in runs.items() if number.isdigit()), default=(0, None))[1]
