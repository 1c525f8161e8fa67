"""One kind of progress bar for the whole program, that of Lightning's training: on standard output, in one line."""

import sys
from importlib.util import find_spec
from typing import Any

if find_spec("ipywidgets") is None:  # `tqdm.auto` would warn of it in a notebook
    from tqdm import tqdm as _tqdm
else:
    from tqdm.auto import tqdm as _tqdm


def tqdm(*arguments: Any, **options: Any) -> _tqdm:
    """Return a progress bar; see tqdm. It draws over that of the training, where one is open."""
    return _tqdm(*arguments, file=sys.stdout, position=0, **options)
