"""Tensors that take long to make (decoded images, ZCA), kept on disk under a key of what they are made from.

The folder is `$LIGHTNING_DD_CACHE`, or `~/.cache/lightning_dd`. It may be deleted at any time; the command
`cache` says what it holds.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lightning_dd.artifact.files import save_tensors
from lightning_dd.errors import UserError
from lightning_dd.runtime.folders import cache_folder

# Raised when decoding changes what it gives for the same files.
FORMAT = 2


def file_key(file: Path) -> bytes:
    """Return a file's path, size and time of change; of a missing file -1 for both."""
    try:
        stat = file.stat()
        size, changed = stat.st_size, stat.st_mtime_ns
    except OSError:
        size = changed = -1
    return os.fsencode(f"{os.path.abspath(file)}|{size}|{changed}\n")


def cached(
    files: Iterable[Path], options: dict, build: Callable[[], dict[str, Tensor]], keep: bool = True
) -> dict[str, Tensor]:
    """Return the tensors of `build`, from disk where they were built before from the same files.

    Args:
        files: what `build` reads; their paths, sizes and times of change are part of the key.
        options: everything else that the result depends on; plain values that JSON can hold.
        build: makes named tensors.
        keep: False builds them in any case, and keeps nothing.
    """
    if not keep:
        return build()
    digest = hashlib.blake2b(json.dumps([FORMAT, options], sort_keys=True).encode(), digest_size=16)
    for file in files:
        digest.update(file_key(file))
    path = cache_folder() / f"{digest.hexdigest()}.safetensors"
    try:
        return load_file(path)
    except (OSError, SafetensorError):
        tensors = build()
        with contextlib.suppress(UserError):  # not being able to keep it is no error
            save_tensors(path, tensors)
        return tensors
