"""The clock of a worker: seconds, system time, page faults and memory of its steps."""

import os
import resource
import time
from pathlib import Path
from typing import Any

import torch

from lightning_dd.runtime.memory import peak_memory

STAT = Path("/proc/stat")


class Meter:
    """Times steps from end to end, so that loading data and the trainer's own work count.

    Args:
        warmup: first steps that are not measured; their time is reported apart.
        device: waited for before the clock is read.
        units: how many of what is reported make one step, for example epochs of a training.
    """

    def __init__(self, warmup: int, device: torch.device, units: int = 1) -> None:
        self.warmup, self.device, self.units = warmup, device, units
        self._ends: list[float] = []

    def tick(self) -> None:
        """Start the first step, or end a step and start the next."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self._ends.append(time.perf_counter())
        if len(self._ends) == self.warmup + 1:
            self._before = usage()

    def report(self) -> dict[str, Any]:
        """Return what the measured steps took, each, and what came before."""
        seconds = [end - start for start, end in zip(self._ends, self._ends[1:], strict=False)]
        steps = (len(seconds) - self.warmup) * self.units
        own, system, faults, machine = (now - before for now, before in zip(usage(), self._before, strict=True))
        return {
            "seconds": [each / self.units for each in seconds[self.warmup :]],
            "warmup_seconds": sum(seconds[: self.warmup]),
            "system_seconds": system / steps,
            "minor_faults": faults / steps,
            "other_processes_cores": max(0.0, machine - own) / sum(seconds[self.warmup :]) if STAT.exists() else None,
            "peak_memory_bytes": peak_memory(self.device),
        }


def usage() -> tuple[float, float, int, float]:
    """Return CPU seconds of the process, those in the kernel, its page faults, and CPU seconds of all processes."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime, own.ru_stime, own.ru_minflt, _machine()


def _machine() -> float:
    """Return the CPU seconds of all processes since the machine started; 0 where that is not known (not Linux)."""
    if not STAT.exists():
        return 0.0
    user, nice, system, _idle, _wait, irq, softirq, *_ = map(int, STAT.read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
