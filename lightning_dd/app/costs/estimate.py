"""Estimates of time and memory of a cell from smaller ones of the same method."""

from collections.abc import Mapping
from pathlib import Path

import torch

MEMINFO = Path("/proc/meminfo")
SPARE = 0.9  # of what is free; the rest is for others


def expected(measured: Mapping[int, float], ipc: int) -> float | None:
    """Return the value at a larger number of images per class, on the line through the two nearest measured ones.

    None with fewer than two of these. Time and memory of most methods grow no more than linearly; where they grow
    faster, this is too low, and the cell is tried.

    Example:
        >>> expected({1: 10.0, 10: 19.0}, 50)
        59.0
    """
    smaller = sorted(known for known in measured if known < ipc)[-2:]
    if len(smaller) < 2:
        return None
    low, high = smaller
    slope = max(0.0, (measured[high] - measured[low]) / (high - low))
    return measured[high] + slope * (ipc - high)


def free_memory() -> int | None:
    """Return how many bytes a cell may take: nine tenths of what is free; None where that is not known."""
    if torch.cuda.is_available():
        return int(SPARE * torch.cuda.mem_get_info()[0])
    try:
        lines = dict(line.split(":") for line in MEMINFO.read_text().splitlines())
        return int(SPARE * 1024 * int(lines["MemAvailable"].split()[0]))
    except (OSError, KeyError, ValueError):
        return None
