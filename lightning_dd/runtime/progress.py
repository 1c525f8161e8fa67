"""Progress where there is no terminal: in a log file, a line every so often in place of a bar."""

import sys
from typing import Any, TextIO

EVERY = 30.0  # seconds between two lines of a log


def shows_bars() -> bool:
    """Return whether a bar can move: on a terminal, or in a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def bar_options() -> dict[str, Any]:
    """Return arguments of `tqdm`: none where a bar can move, else those that make it write whole lines."""
    if shows_bars():
        return {}
    shape = "{desc}: {n_fmt} of {total_fmt}, {remaining} left"
    return {"file": _Lines(sys.stderr), "delay": EVERY, "mininterval": EVERY, "maxinterval": EVERY, "bar_format": shape}


class _Lines:
    """A file that takes what is to overwrite a line, and writes lines."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        """Write a line; nothing where the text only clears one."""
        if text.strip():
            self._file.write(f"{text.strip()}\n")

    def flush(self) -> None:
        """Flush the file."""
        self._file.flush()
