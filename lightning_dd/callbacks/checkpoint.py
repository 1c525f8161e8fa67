"""Keep the last checkpoint, written atomically."""

import sys
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from lightning_dd.artifact.files import cannot_write
from lightning_dd.callbacks.evaluation import Evaluation
from lightning_dd.callbacks.run_paths import CHECKPOINT, run_folder
from lightning_dd.errors import UserError


class LastCheckpoint(Checkpoint):
    """Write `checkpoints/last.ckpt` every so many steps, at the end, and when something ends the run early.

    Lightning's own callback waits for the end of an epoch, which an endless loader never has.

    Args:
        every_n_steps: updates of the images between two checkpoints.

    Raises:
        UserError: `every_n_steps` is not positive, or the file cannot be written.
    """

    def __init__(self, every_n_steps: int = 100) -> None:
        if every_n_steps < 1:
            raise UserError(f"--checkpoint.every_n_steps is at least 1 and cannot be {every_n_steps}.")
        self.every_n_steps = every_n_steps

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """Save at every n-th step, and at the last one: the evaluation after it may take long."""
        if trainer.global_step % self.every_n_steps == 0 or trainer.global_step == trainer.max_steps:
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, *_: object) -> None:
        """Save what was learned, with the final evaluation."""
        self._save(trainer)

    def on_fit_end(self, trainer: Trainer, *_: object) -> None:
        """Save a final evaluation that was made up for, now that all of the checkpoint is loaded; no step was made."""
        if any(isinstance(callback, Evaluation) and callback.made_up for callback in trainer.callbacks):
            self._save(trainer)

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Save what was learned before something went wrong; of several processes the others may be gone."""
        alone = trainer.world_size > 1 and not getattr(exception, "together", False)
        if alone or trainer.state.fn != "fit" or not trainer.global_step:
            return
        try:
            self._save(trainer)
        except UserError as error:  # the first error is the one to report
            print(error, file=sys.stderr)

    def _save(self, trainer: Trainer) -> None:
        if not trainer.fast_dev_run:
            save_checkpoint(trainer, run_folder(trainer) / CHECKPOINT)


def save_checkpoint(trainer: Trainer, path: Path) -> None:
    """Write a checkpoint; all processes have to ask.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        trainer.save_checkpoint(path)
    except OSError as error:
        raise cannot_write(path, error) from None
