"""One kind of progress bar for the whole program."""

from importlib.util import find_spec

if find_spec("ipywidgets") is None:  # `tqdm.auto` would warn of it in a notebook
    from tqdm import tqdm
else:
    from tqdm.auto import tqdm

__all__ = ["tqdm"]
