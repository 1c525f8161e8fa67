"""The clock of a run: steps and their parts."""

import statistics
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch

KEPT = 1000  # times that a median is taken over


class Stopwatch:
    """Seconds of named parts: their sum, and the median of the last ones but for the very first.

    Attributes:
        synchronize: wait for the GPU at the end of a part, so that its time is its own and not only that of launches.
        totals: seconds of each part so far.
    """

    def __init__(self) -> None:
        self.synchronize = False
        self.totals: dict[str, float] = {}
        self._starts: dict[str, float] = {}
        self._last: dict[str, deque[float]] = {}

    def start(self, name: str) -> None:
        """Start to time a part."""
        self._starts[name] = time.perf_counter()

    def since(self, name: str) -> float:
        """Return the seconds since a part was started; 0 if it was not."""
        now = time.perf_counter()
        return now - self._starts.get(name, now)

    def stop(self, name: str, device: torch.device) -> None:
        """Add the seconds since the part was started."""
        if self.synchronize and device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = self.since(name)
        if name in self.totals:  # the first time includes compilation and warm-up
            self._last.setdefault(name, deque(maxlen=KEPT)).append(seconds)
        self.add(name, seconds)

    def add(self, name: str, seconds: float) -> None:
        """Add seconds of a part that were spent elsewhere."""
        self.totals[name] = self.totals.get(name, 0.0) + seconds

    @contextmanager
    def part(self, name: str, device: torch.device) -> Iterator[None]:
        """Time what runs inside."""
        self.start(name)
        yield
        self.stop(name, device)

    def medians(self) -> dict[str, float]:
        """Return the median seconds of each part."""
        return {name: round(statistics.median(values), 5) for name, values in self._last.items()}
