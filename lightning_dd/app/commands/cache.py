"""Say what is kept on disk between runs, or delete it: `cache`, `cache clear`.

Decoded images, whitening transforms, networks trained on real images and accuracies of random real images take long to
make and are kept, which can be gigabytes. All of it is made again when it is needed. The folder is
`$LIGHTNING_DD_CACHE`, or `~/.cache/lightning_dd`.
"""

import re
import time
from pathlib import Path

from lightning_dd.app.commands import parser
from lightning_dd.app.headers import header
from lightning_dd.errors import UserError
from lightning_dd.runtime.folders import cache_folder

ENTRY = re.compile(r"\.?[0-9a-f]{32}\.safetensors\b.*")
"""Entries, and what a process that died left of one; nothing else in the folder is ours."""
DAY = 86_400


def main(arguments: list[str]) -> int:
    """Print what the cache holds, delete it where that is asked for, and return the exit code."""
    made = parser("cache")
    made.add_argument("action", nargs="?", choices=("clear",), metavar="clear", help="delete what is kept")
    made.add_argument("--days", type=float, metavar="N", help="only what was made more than so many days ago")
    options = made.parse_args(arguments)
    if options.days is not None and not options.days >= 0:
        raise UserError("--days is a number of at least 0.")
    folder, entries = cache_folder(), _entries(options.days)
    if options.action == "clear":
        freed = _size(entries)
        for path in entries:
            path.unlink(missing_ok=True)
        print(f"{len(entries)} files deleted from {folder}, {freed}.")
        return 0
    days = "" if options.days is None else f" --days {options.days:g}"
    print(f"{folder}: {_size(entries)} in {len(entries)} files, which `cache clear{days}` deletes")
    kinds: dict[str, list[Path]] = {}
    for path in entries:
        kinds.setdefault(_kind(path), []).append(path)
    for kind, paths in sorted(kinds.items()):
        print(f"  {kind:22}{len(paths):5} files  {_size(paths):>10}")
    return 0


def _entries(days: float | None) -> list[Path]:
    folder = cache_folder()
    found = [path for path in folder.iterdir() if ENTRY.fullmatch(path.name)] if folder.is_dir() else []
    return [path for path in found if days is None or path.stat().st_mtime < time.time() - days * DAY]


def _kind(path: Path) -> str:
    names = header(path).keys() - {"__metadata__"}
    if not names or path.name.startswith("."):
        return "unfinished or damaged"
    if "images" in names:
        return "decoded images"
    if names == {"accuracy"}:
        return "accuracies of random real images"
    return "whitening transforms" if "inverse_matrix" in names else "trained networks"


def _size(paths: list[Path]) -> str:
    size = sum(path.stat().st_size for path in paths)
    return f"{size / 2**30:.2f} GiB" if size >= 2**29 else f"{size / 2**20:.1f} MiB"
