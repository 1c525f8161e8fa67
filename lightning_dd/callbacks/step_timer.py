"""The cost of a run: seconds of a step with its batch, of its parts, operations, peak memory."""

from contextlib import ExitStack
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer

from lightning_dd.artifact.schema import RECORD, check_form, count, not_negative
from lightning_dd.callbacks.kept import Kept
from lightning_dd.runtime.flops import counted
from lightning_dd.runtime.memory import peak_memory
from lightning_dd.runtime.timing import Stopwatch

SPENT = ("seconds", "operations", "seconds_before", "operations_before")
STATE = {"seconds": not_negative, "operations?": (None, count), "record": RECORD["cost?"]}
"""The form of a cost in a checkpoint."""


class StepTimer(Kept):
    """Measure seconds per step (median, evaluations and the first step left out), operations and peak memory.

    A step begins with reading its real images. The seconds of a run count how its images were found to start from, with
    networks trained for that, now or before. The peak memory leaves out what evaluations alone needed.

    The operations are those of the second step (of the first, where it is the only one), all processes together; of
    compiled code they are not known.

    Args:
        synchronize: wait for the GPU at the end of each step and part, so that each part's time is its own; slows the
            run a little. On CPU it changes nothing.
    """

    def __init__(self, synchronize: bool = False) -> None:
        self.synchronize = synchronize
        self._stopwatch = Stopwatch()  # the method's, once there is one
        self._earlier = 0.0  # seconds before the run was resumed
        self._operations: int | None = None  # of a step
        self._counting: ExitStack | None = None
        self._last: dict[str, Any] = {}  # the record before, for a process that makes no step
        self._module: LightningModule | None = None
        self._peak = self._without = 0  # bytes: of steps, and that something else has reached

    @property
    def seconds(self) -> float:
        """Seconds of the images' start and of all steps so far, those before a resumed run included."""
        totals = self._stopwatch.totals
        return (self._earlier or totals.get("start", 0.0)) + totals.get("data", 0.0) + totals.get("step", 0.0)

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Start from zero peak memory on a GPU."""
        self._stopwatch, self._module = module.stopwatch, module
        self._stopwatch.synchronize = self.synchronize
        if module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(module.device)

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, *_: object) -> None:
        """Start the clock of a step; count the operations of the second, the first may prepare much besides."""
        now = module.iteration > 0 or trainer.max_steps == 1
        if now and self._operations is None and not getattr(module, "compile_objective", True):
            self._counting = ExitStack()
            self._counted = self._counting.enter_context(counted())
        self._stopwatch.stop("data", module.device)
        self._stopwatch.start("step")

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: object) -> None:
        """Stop the clock of a step."""
        self._stopwatch.stop("step", module.device)
        if (peak := peak_memory(module.device)) > self._without:
            self._peak = peak
        if self._counting is not None:
            self._counting.close()
            self._counting = None
            self._operations = _summed(trainer, self._counted.get_total_flops(), module.device)
        if trainer.global_step % trainer.log_every_n_steps == 0 or trainer.global_step == trainer.max_steps:
            charts = {"minutes": self.seconds / 60, "peak_memory_gib": self._peak / 2**30}
            charts |= {"seconds_per_step": step} if (step := self._step_seconds()) else {}
            for logger in trainer.loggers:
                logger.log_metrics({f"cost/{name}": value for name, value in charts.items()}, trainer.global_step)

    def leave_out_memory(self, module: LightningModule) -> None:
        """Count what the process has reached by now as no step's memory: something else needed it."""
        self._without = peak_memory(module.device)

    def _step_seconds(self) -> float | None:
        medians = self._stopwatch.medians()
        return round(medians["data"] + medians["step"], 5) if medians.keys() >= {"data", "step"} else None

    def state_dict(self) -> dict[str, Any]:
        """Return the time spent so far, so that a resumed run adds to it."""
        record = self.record(self._module) if self._module else self._last
        return {"seconds": self.seconds, "operations": self._operations, "record": record}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the time spent before."""
        check_form(state, STATE, "The checkpoint's list of costs")
        self._earlier, self._last = state["seconds"], state["record"]
        self._operations = state.get("operations")

    def spent(self, module: LightningModule) -> dict[str, Any]:
        """Return what was spent up to now: seconds and operations of the steps, and of networks trained before them."""
        if "step" not in self._stopwatch.totals and self._last:
            return {name: self._last[name] for name in SPENT if name in self._last}
        start = module.start_operations
        operations = None if self._operations is None else self._operations * module.iteration + start
        spent = {"seconds": round(self.seconds, 1), "operations": operations}
        prepared = getattr(module, "networks", None) and module.networks.prepared
        return spent | {f"{name}_before": value for name, value in (prepared or {}).items()}

    def record(self, module: LightningModule) -> dict[str, Any]:
        """Return the entry `cost` of `results.json`."""
        medians = self._stopwatch.medians()
        if "step" not in self._stopwatch.totals and self._last:
            return self._last
        parts = medians if module.device.type == "cpu" or self.synchronize else {}
        self._last = {
            **self.spent(module),
            "seconds_per_step": self._step_seconds(),
            "seconds_loss": parts.get("loss"),
            "seconds_networks": parts.get("networks"),
            "peak_memory_bytes": self._peak or peak_memory(module.device),
        }
        return self._last


def _summed(trainer: Trainer, operations: int, device: torch.device) -> int:
    """Return the operations of all processes together, which share tensors on their devices alone."""
    if trainer.world_size == 1:
        return operations
    return int(trainer.strategy.reduce(torch.tensor(operations, dtype=torch.float64, device=device), reduce_op="sum"))
