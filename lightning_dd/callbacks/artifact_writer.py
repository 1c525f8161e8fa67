"""The output files of a run: `distilled.safetensors`, `distilled.png`, `results.json`."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from lightning_dd.artifact.files import write_json
from lightning_dd.artifact.schema import TESTED, read_json
from lightning_dd.callbacks.evaluation import Evaluation
from lightning_dd.callbacks.find import find
from lightning_dd.callbacks.kept import Saving
from lightning_dd.callbacks.run_paths import ARTIFACT, CHECKPOINT, PICTURE, RESULTS, TESTS, run_folder
from lightning_dd.callbacks.snapshot import credit, distilled_set
from lightning_dd.callbacks.step_timer import StepTimer
from lightning_dd.errors import UserError
from lightning_dd.runtime.environment import environment
from lightning_dd.runtime.options import CheckedOptions, PositiveInt


class ArtifactWriter(CheckedOptions, Saving):
    """Write the distilled set, its picture and the record of the run.

    They are written before an evaluation, again after the final one, and when something ends the run early.

    Args:
        every_n_steps: also write the distilled set at these steps; None only at the end.
    """

    option_group = "product"

    def __init__(self, every_n_steps: PositiveInt | None = None) -> None:
        self.every_n_steps = every_n_steps
        self._folder: Path | None = None

    def on_fit_start(self, trainer: Trainer, module: LightningModule) -> None:
        """After resuming a finished run, save the final evaluation that had been missed."""
        if any(isinstance(callback, Evaluation) and callback.made_up for callback in trainer.callbacks):
            self.on_train_end(trainer, module)

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Find the run's folder, which is collective."""
        self._folder = None if trainer.fast_dev_run else run_folder(trainer)

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: object) -> None:
        """Write the distilled set and its record at every n-th step."""
        if self.every_n_steps and trainer.global_step % self.every_n_steps == 0:
            module.ensure_valid()
            self._write(trainer, module, picture=False)

    def save(self, trainer: Trainer, module: LightningModule) -> None:
        """Write everything as it is."""
        module.ensure_valid()
        self._write(trainer, module)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Write everything with the accuracies."""
        folder = self._write(trainer, module)
        if trainer.is_global_zero and not trainer.fast_dev_run:
            print(f"The distilled data set is in {folder / ARTIFACT}, its picture in {PICTURE} beside it.")

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Write what was learned before something went wrong; of several processes the others may be gone."""
        if self._folder is None or not trainer.is_global_zero or not trainer.global_step:
            return
        with suppress(UserError):
            module.ensure_valid()
        try:
            self._write_into(self._folder, trainer, module)
        except UserError as error:  # the first error is the one to report
            print(error, file=sys.stderr)
        else:
            print(f"\nWhat was learned in {trainer.global_step} steps is in {self._folder}.", file=sys.stderr)

    def on_test_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Add the accuracies of a `test` to a list in the folder of the run that the checkpoint is from."""
        if not trainer.is_global_zero or not trainer.ckpt_path:
            return
        checkpoint = Path(trainer.ckpt_path).resolve()
        in_run = checkpoint.parent.name == CHECKPOINT.parent.name
        path = checkpoint.parents[1 if in_run else 0] / TESTS
        earlier = read_json(path, TESTED) if path.exists() else []
        write_json(path, [*earlier, run_record(trainer, module)])
        print(f"The record of this test is in {path}.")

    def _write(self, trainer: Trainer, module: LightningModule, picture: bool = True) -> Any:
        folder = run_folder(trainer)
        if trainer.is_global_zero and not trainer.fast_dev_run:
            self._write_into(folder, trainer, module, picture)
        return folder

    def _write_into(self, folder: Path, trainer: Trainer, module: LightningModule, picture: bool = True) -> None:
        record = run_record(trainer, module)
        distilled = distilled_set(trainer, module, record)
        distilled.save(folder / ARTIFACT)
        write_json(folder / RESULTS, record)
        if picture:
            distilled.save_picture(folder / PICTURE)


def run_record(trainer: Trainer, module: LightningModule) -> dict[str, Any]:
    """Return the content of `results.json`."""
    data = trainer.datamodule
    evaluation = find(trainer, Evaluation)
    cost = find(trainer, StepTimer)
    return {
        "method": type(module).__name__,
        "dataset": data.name,
        "data_departures": data.departures,
        "ipc": module.ipc,
        "config": module.options,
        "resolved": module.resolved(),
        "command": module.command,
        **({"commands": [*module.earlier_commands, module.command]} if module.earlier_commands else {}),
        "seed": module.seed,
        "steps": module.iteration,
        "published_steps": module.published_steps if credit(module)["paper"] else None,
        "evaluations": evaluation.records if evaluation else [],
        "cost": cost.record(module) if cost else {},
        "environment": {**environment(module.device), "precision": trainer.precision, "devices": trainer.world_size},
    }
