"""A progress bar over steps, with the latest accuracy."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar

from lightning_dd.callbacks.evaluation import Evaluation


class ProgressBar(TQDMProgressBar):
    """Loss, step rate and the latest accuracy; the total is the number of steps (an endless loader has no other)."""

    @property
    def total_train_batches(self) -> int | float:
        """Steps of the run."""
        return self.trainer.max_steps if self.trainer.max_steps > 0 else super().total_train_batches

    def on_train_start(self, trainer: Trainer, *arguments: Any) -> None:
        """Show the total from the beginning; a resumed run does not start an epoch, where Lightning sets it."""
        super().on_train_start(trainer, *arguments)
        self.train_progress_bar.total = self.total_train_batches

    def get_metrics(self, trainer: Trainer, module: LightningModule) -> dict[str, Any]:
        """Return the metrics beside the bar, with the latest accuracy."""
        metrics = super().get_metrics(trainer, module)
        metrics.pop("v_num", None)
        for callback in trainer.callbacks:
            if isinstance(callback, Evaluation) and callback.latest is not None:
                metrics["accuracy"] = callback.latest
        return metrics
