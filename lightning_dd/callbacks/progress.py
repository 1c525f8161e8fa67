"""Progress over steps, with the latest accuracy: a bar, or lines in a log."""

import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar

from lightning_dd.callbacks.evaluation import Evaluation
from lightning_dd.evaluation.duration import duration
from lightning_dd.runtime.bars import EVERY, shows_bars


class ProgressBar(TQDMProgressBar):
    """Loss, step rate and the latest accuracy; the total is the number of steps (an endless loader has no other).

    Where no bar can move, in a log file, it is a line every half minute and at the last step.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines = not shows_bars()
        self._start, self._first, self._said = 0.0, 0, 0.0

    @property
    def total_train_batches(self) -> int | float:
        """Steps of the run."""
        return self.trainer.max_steps if self.trainer.max_steps > 0 else super().total_train_batches

    @property
    def is_disabled(self) -> bool:
        """Whether there is no bar."""
        return self._lines or super().is_disabled

    def on_train_start(self, trainer: Trainer, *arguments: Any) -> None:
        """Show the total from the beginning; a resumed run does not start an epoch, where Lightning sets it."""
        super().on_train_start(trainer, *arguments)
        self.train_progress_bar.total = self.total_train_batches
        self._start = self._said = time.monotonic()
        self._first = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *arguments: Any) -> None:
        """Move the bar, or write a line where that is due."""
        super().on_train_batch_end(trainer, module, *arguments)
        last, now = trainer.global_step == trainer.max_steps, time.monotonic()
        if self._lines and self.is_enabled and trainer.is_global_zero and (last or now - self._said > EVERY):
            self._said = now
            print(self._line(trainer, module, now - self._start), file=sys.stderr, flush=True)

    def _line(self, trainer: Trainer, module: LightningModule, seconds: float) -> str:
        step, steps = trainer.global_step, trainer.max_steps
        values = [f"{name} {value:.4g}" for name, value in self.get_metrics(trainer, module).items()]
        left = []
        if steps > step:
            left = [f"{duration((steps - step) * seconds / (step - self._first))} left"]
        return ", ".join([f"step {step:,}" + (f" of {steps:,}" if steps > 0 else ""), *values, *left])

    def get_metrics(self, trainer: Trainer, module: LightningModule) -> dict[str, Any]:
        """Return the metrics beside the bar, with the latest accuracy."""
        metrics = super().get_metrics(trainer, module)
        metrics.pop("v_num", None)
        for callback in trainer.callbacks:
            if isinstance(callback, Evaluation) and callback.latest is not None:
                metrics["accuracy"] = callback.latest
        return metrics
