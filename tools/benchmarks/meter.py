"""The clock of a worker: seconds, system time, page faults and memory of its steps."""

import os
import resource
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch

from lightning_dd.runtime.memory import peak_memory

STAT = Path("/proc/stat")


class Usage(NamedTuple):
    """What the process has used so far, and the whole machine (None where that is not known)."""

    wall: float
    user: float
    system: float
    faults: int
    machine: float | None


class Meter:
    """Times steps from end to end, so that loading data and the trainer's own work count.

    Args:
        warmup: first steps that are not measured; their time is reported apart.
        device: waited for before the clock is read.
        units: how many of what is reported make one step, for example epochs of a training.
    """

    def __init__(self, warmup: int, device: torch.device, units: int = 1) -> None:
        self.warmup = warmup
        self.device = device
        self.units = units
        self._seconds: list[float] = []
        self._outside: list[float] = []

    def begin(self) -> None:
        """Start the first step."""
        self._now = self._read()
        if not self.warmup:
            self._start_measuring()

    def enter(self) -> None:
        """Mark where a step has its data, if it says so."""
        self._outside.append(self._read() - self._now)

    def tick(self) -> None:
        """End a step and start the next."""
        now = self._read()
        self._seconds.append(now - self._now)
        self._now = now
        if len(self._seconds) == self.warmup:
            self._start_measuring()

    def report(self) -> dict[str, Any]:
        """Return what the measured steps took, each, and what came before."""
        before, after = self._usage, usage()
        steps = (len(self._seconds) - self.warmup) * self.units
        own = after.user + after.system - before.user - before.system
        wall = after.wall - before.wall
        others = None if after.machine is None else max(0.0, after.machine - before.machine - own) / wall
        return {
            "seconds": [seconds / self.units for seconds in self._seconds[self.warmup :]],
            "outside_seconds": self._outside[self.warmup :],
            "warmup_seconds": sum(self._seconds[: self.warmup]),
            "first_step_seconds": self._seconds[0],
            "user_seconds": (after.user - before.user) / steps,
            "system_seconds": (after.system - before.system) / steps,
            "minor_faults": (after.faults - before.faults) / steps,
            "other_processes_cores": others,
            "peak_memory_bytes": peak_memory(self.device),
        }

    def _start_measuring(self) -> None:
        self._usage = usage()
        self._now = self._read()

    def _read(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def usage() -> Usage:
    """Return what was used up to now."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    return Usage(time.perf_counter(), own.ru_utime, own.ru_stime, own.ru_minflt, _machine())


def _machine() -> float | None:
    """Return the CPU seconds of all processes since the machine started (Linux)."""
    if not STAT.exists():
        return None
    user, nice, system, _idle, _wait, irq, softirq, *_ = map(int, STAT.read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
