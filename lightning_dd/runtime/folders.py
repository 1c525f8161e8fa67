"""Folders outside of runs."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return where what takes long to make is kept: `$LIGHTNING_DD_CACHE`, or else `~/.cache/lightning_dd`."""
    return Path(os.environ.get("LIGHTNING_DD_CACHE") or Path.home() / ".cache" / "lightning_dd")
