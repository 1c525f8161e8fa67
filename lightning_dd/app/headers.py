"""The head of a safetensors file, read without torch."""

import json
from pathlib import Path
from typing import Any

from lightning_dd.artifact.schema import INFO, misfit, parse_json
from lightning_dd.errors import UserError

LARGEST = 100_000_000  # bytes, which the format allows


def header(path: Path) -> dict[str, Any]:
    """Return what a safetensors file says of its tensors by name, and under `__metadata__` of itself; empty if none."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            found = json.loads(file.read(size)) if 0 < size < LARGEST else {}
    except (OSError, RecursionError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def description(path: Path) -> dict[str, Any]:
    """Return what a distilled set says of itself, as it was saved; empty where the file is none."""
    try:
        found = parse_json(header(path)["__metadata__"]["description"], "it")
        return found if misfit(found, {"info?": INFO}) is None else {}
    except (AttributeError, KeyError, TypeError, UserError):
        return {}
