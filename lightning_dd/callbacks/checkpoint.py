"""The last checkpoint of a run, and how checkpoints are written: whole or not at all."""

import io
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_dd.artifact.checkpoint import read_checkpoint
from lightning_dd.artifact.files import atomic, remove_abandoned
from lightning_dd.callbacks.evaluation import Evaluation
from lightning_dd.callbacks.kept import Saving
from lightning_dd.callbacks.run_paths import CHECKPOINT, run_folder
from lightning_dd.errors import UserError
from lightning_dd.runtime.options import CheckedOptions, PositiveInt


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint into a temporary file beside the old one, then rename it; read one after checking it.

    Lightning's own writes into `TMPDIR`, and from another file system it copies over the old checkpoint: a full disk or
    a kill in that moment destroys it.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; `storage_options` is not used.

        Raises:
            UserError: the file cannot be written; the old one is whole.
        """
        path = Path(path)
        for abandoned in path.parent.glob(f".{path.name}.*"):  # a process was killed while it wrote
            abandoned.unlink(missing_ok=True)
        content = io.BytesIO()  # into a file, torch would answer a full disk with an error that does not say so
        torch.save(checkpoint, content)
        with atomic(path) as temporary:
            temporary.write_bytes(content.getbuffer())

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = None) -> Any:
        """Return a checkpoint of this program, on the CPU and checked; nothing in it is executed.

        Raises:
            UserError: it is missing, damaged or of another program.
        """
        return read_checkpoint(path)


class LastCheckpoint(CheckedOptions, Saving, ModelCheckpoint):
    """Save `checkpoints/last.ckpt` every so many steps, before evaluations, at the end, and when a run fails.

    Lightning's own leaves out a last step that `every_n_steps` does not divide, and the final evaluation.

    Args:
        every_n_steps: updates of the images between two checkpoints.

    Raises:
        UserError: the file cannot be written.
    """

    option_group = "checkpoint"

    def __init__(self, every_n_steps: PositiveInt = 100) -> None:
        super().__init__(every_n_train_steps=every_n_steps, save_last=True, save_top_k=0, enable_version_counter=False)
        self.every_n_steps = every_n_steps

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """Save into the run's folder, whatever a logger calls its own; remove what a killed process left there."""
        folder = run_folder(trainer)  # all processes take part
        self.dirpath = str(folder / CHECKPOINT.parent)
        if stage == "fit" and trainer.is_global_zero:
            for place in (folder, Path(self.dirpath)):
                remove_abandoned(place)
        super().setup(trainer, module, stage)

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: object) -> None:
        """Save at every n-th step."""
        if trainer.global_step % self.every_n_steps == 0:
            module.ensure_valid()
            self._save(trainer)  # with the evaluation of this step, if there was one

    def save(self, trainer: Trainer, module: LightningModule) -> None:
        """Save what is learned, once it is seen to be finite; not again after the same step."""
        module.ensure_valid()
        if self._last_global_step_saved != trainer.global_step:
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
        if module.iteration != trainer.global_step:
            print("The step was half done: the checkpoint is the one before it.", file=sys.stderr)
            return
        with suppress(UserError):
            module.ensure_valid()
        try:
            self._save(trainer)
        except UserError as error:  # the first error is the one to report
            print(error, file=sys.stderr)

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: what a resumed run needs is with others, and folders of this machine are not for it."""
        return {}

    def _save(self, trainer: Trainer) -> None:
        if not trainer.fast_dev_run:
            self._save_last_checkpoint(trainer, {})
