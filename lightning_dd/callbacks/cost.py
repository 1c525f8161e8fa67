"""What a run costs: time of a step and its parts, peak memory."""

import resource
import statistics
import sys
import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

KEPT = 10_000  # step times that the median is taken over


class Cost(Callback):
    """Measure seconds per step (median, evaluations and the first step left out) and peak memory.

    Args:
        synchronize: wait for the GPU at the end of each step and part, so that each part's time is its own; slows the
            run a little. On CPU it changes nothing.
    """

    def __init__(self, synchronize: bool = False) -> None:
        self.synchronize = synchronize
        self.seconds = 0.0
        self._steps: list[float] = []
        self._start = 0.0
        self._last: dict[str, Any] = {}  # the record before, for a process that makes no step
        self._first = True

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Start from zero peak memory on a GPU."""
        module.stopwatch.synchronize = self.synchronize
        if module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(module.device)

    def on_train_batch_start(self, *_: object) -> None:
        """Start the clock of a step."""
        self._start = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: object) -> None:
        """Stop the clock of a step."""
        module.stopwatch.wait(module.device)
        seconds = time.perf_counter() - self._start
        self.seconds += seconds
        if self._first:  # compiles and warms up
            self._first = False
        elif len(self._steps) < KEPT:
            self._steps.append(seconds)

    def state_dict(self) -> dict[str, Any]:
        """Return the time spent so far, so that a resumed run adds to it."""
        return {"seconds": self.seconds, "record": self._last}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back the time spent before."""
        self.seconds, self._last = state["seconds"], state.get("record", {})

    def record(self, module: LightningModule) -> dict[str, Any]:
        """Return the entry `cost` of `results.json`."""
        if self._first and self._last:
            return self._last
        parts = module.stopwatch.medians() if module.device.type == "cpu" or self.synchronize else {}
        self._last = {
            "seconds": round(self.seconds, 1),
            "seconds_per_step": round(statistics.median(self._steps), 5) if self._steps else None,
            "seconds_loss": parts.get("loss"),
            "seconds_networks": parts.get("networks"),
            "peak_memory_bytes": peak_memory(module.device),
        }
        return self._last


def peak_memory(device: torch.device) -> int:
    """Return the largest memory used so far in bytes: of the GPU, or of the process on CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
