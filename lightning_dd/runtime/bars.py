"""One kind of progress for the whole program: a bar where one can move, and in a log file a line every so often."""

import sys
from importlib.util import find_spec
from typing import Any, TextIO

if find_spec("ipywidgets") is None:  # `tqdm.auto` would warn of it in a notebook
    from tqdm import tqdm as _tqdm
else:
    from tqdm.auto import tqdm as _tqdm

EVERY = 30.0  # seconds between two lines of a log
LINE = "{desc}: {n_fmt} of {total_fmt}, {remaining} left"


def shows_bars() -> bool:
    """Return whether a bar can move: on a terminal, or in a notebook."""
    return sys.stdout.isatty() or sys.stderr.isatty() or "ipykernel" in sys.modules


def tqdm(*arguments: Any, **options: Any) -> _tqdm:
    """Return a progress bar, on standard output as that of Lightning's training, over which it draws; see tqdm.

    Where no bar can move, it writes lines.
    """
    if shows_bars():
        return _tqdm(*arguments, file=sys.stdout, position=0, **options)
    slow = {"delay": EVERY, "mininterval": EVERY, "maxinterval": EVERY, "bar_format": LINE}
    return _tqdm(*arguments, file=_Lines(sys.stderr), **slow, **options)


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
