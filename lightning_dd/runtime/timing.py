"""Time the parts of a step."""

import statistics
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch

KEPT = 1000


class Stopwatch:
    """Seconds of named parts; the median over the last steps, the first left out."""

    def __init__(self) -> None:
        self.synchronize = False
        self._seconds: dict[str, deque[float]] = {}
        self._seen: set[str] = set()

    @contextmanager
    def part(self, name: str, device: torch.device) -> Iterator[None]:
        """Time a part; on a GPU only the launches unless `synchronize` is set."""
        start = time.perf_counter()
        yield
        self.wait(device)
        if name in self._seen:
            self._seconds.setdefault(name, deque(maxlen=KEPT)).append(time.perf_counter() - start)
        self._seen.add(name)  # the first time includes compilation and warm-up

    def wait(self, device: torch.device) -> None:
        """Wait for the GPU where times are to be exact."""
        if self.synchronize and device.type == "cuda":
            torch.cuda.synchronize(device)

    def medians(self) -> dict[str, float]:
        """Return the median seconds of each part."""
        return {name: round(statistics.median(values), 5) for name, values in self._seconds.items()}
