"""Files that are either whole or not there."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning_dd.errors import UserError


@contextmanager
def atomic(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path in the same folder; move it to `path` if the block succeeds.

    A crash, a kill or a full disk leaves the previous file untouched.

    Raises:
        UserError: the folder or the file cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        _flush(temporary)
        _as_newly_created(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def cannot_write(path: str | os.PathLike, error: OSError) -> UserError:
    """Return the sentence for a file that could not be written."""
    reason = error.strerror or str(error)
    return UserError(f"Cannot write {path}: {reason}; free some space or give another --trainer.default_root_dir.")


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write JSON atomically, indented for people."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _as_newly_created(path: Path) -> None:
    # mkstemp makes files private; what is left behind should be as readable as any other new file
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)
