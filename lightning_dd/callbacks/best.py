"""Keep the set that did best on held-out images, and stop when nothing better comes."""

from itertools import count
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from lightning_dd.callbacks.artifact_writer import run_record
from lightning_dd.callbacks.evaluation import Evaluation
from lightning_dd.callbacks.find import find
from lightning_dd.callbacks.run_paths import BEST, BEST_CHECKPOINT, run_folder
from lightning_dd.callbacks.snapshot import distilled_set
from lightning_dd.errors import OptionError
from lightning_dd.runtime.options import CheckedOptions, PositiveInt

COMPARABLE = ("protocol", "network", "split", "num_test_images", "num_networks", "epochs")


def comparable(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the evaluations that were made as the last one was, in their order."""
    return [record for record in records if all(record.get(key) == records[-1].get(key) for key in COMPARABLE)]


class BestCheckpoint(CheckedOptions, Callback):
    """Write `best.safetensors` and `checkpoints/best.ckpt` at the evaluation with the best held-out accuracy so far.

    No `ModelCheckpoint`: that monitors what modules log, which cannot be done at the end of training, where the last
    accuracy is measured, and it compares accuracies of different protocols after a resume. No `EarlyStopping`: that
    waits for the end of an epoch, which an endless loader never has. Nothing is chosen by accuracies on the test set.

    Args:
        patience: stop after so many evaluations in a row that were not better; None goes on to the last step.

    Raises:
        OptionError: `patience` has no evaluations to choose by.
    """

    option_group = "best"

    def __init__(self, patience: PositiveInt | None = None) -> None:
        self.patience = patience
        self._considered: int | None = None  # the step whose accuracy was looked at last

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """Find out before the run whether there will be something to choose by."""
        evaluation = find(trainer, Evaluation)
        if self.patience is None or stage != "fit":
            return
        if evaluation is None or not evaluation.enabled or not evaluation.every_n_steps:
            raise OptionError("best.patience", "counts evaluations: set {evaluation.every_n_steps}")
        if evaluation.split != "held_out":
            advice = "set {data.held_out} 0.1 and {evaluation.split} held_out"
            raise OptionError("best.patience", f"chooses when to stop, which the test set must not: {advice}")

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Consider an evaluation that was made up for."""
        self.on_train_batch_end(trainer, module)

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: object) -> None:
        """Keep the set if it was measured and is the best so far; stop if none has been better for long."""
        accuracies, steps = self._accuracies(trainer)
        if not steps or steps[-1] != module.iteration or self._considered == module.iteration:
            return
        self._considered = module.iteration
        best = accuracies.index(max(accuracies))
        if best == len(accuracies) - 1:
            self._keep(trainer, module)
        elif self.patience is not None and len(accuracies) - 1 - best >= self.patience:
            trainer.should_stop = True
            rank_zero_info(f"Stopping: no better held-out accuracy in {self.patience} evaluation(s).")

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Keep the final set if it is the best, and say which one is."""
        self.on_train_batch_end(trainer, module)
        accuracies, steps = self._accuracies(trainer)
        best = run_folder(trainer) / BEST  # asked of every process, or those that ask wait for the others
        if trainer.is_global_zero and len(steps) > 1:
            step = steps[accuracies.index(max(accuracies))]
            there = f"that set is in {best}; `test` takes its checkpoint, {BEST_CHECKPOINT} beside it."
            earlier = "that set is in the folder of the run that this one went on from."
            where = there if best.exists() else earlier
            print(f"The best held-out accuracy was {max(accuracies):.2f} % at step {step}: {where}")

    def on_fit_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Consider a final evaluation that was made up for; no step was made."""
        evaluation = find(trainer, Evaluation)
        if evaluation is not None and evaluation.made_up:
            self.on_train_end(trainer, module)

    def _keep(self, trainer: Trainer, module: LightningModule) -> None:
        if trainer.fast_dev_run:
            return
        folder = run_folder(trainer)
        if trainer.is_global_zero and len(self._accuracies(trainer)[0]) == 1:
            _set_aside(folder)
        trainer.save_checkpoint(folder / BEST_CHECKPOINT)
        if trainer.is_global_zero:
            distilled_set(trainer, module, run_record(trainer, module)).save(folder / BEST)

    def _accuracies(self, trainer: Trainer) -> tuple[list[float], list[int]]:
        """Return the held-out accuracies in percent that can be compared with the last one, and their steps."""
        evaluation = find(trainer, Evaluation)
        records: list[dict[str, Any]] = evaluation.records if evaluation else []
        if not records or records[-1]["split"] != "held_out":
            return [], []
        records = comparable(records)
        return [record["accuracy_mean"] for record in records], [record["step"] for record in records]


def _set_aside(folder: Path) -> None:
    """Rename the best set of evaluations with which those to come cannot be compared."""
    for path in (folder / BEST, folder / BEST_CHECKPOINT):
        if path.exists():
            number = next(each for each in count(1) if not path.with_stem(f"{path.stem}_before_{each}").exists())
            kept = path.rename(path.with_stem(f"{path.stem}_before_{number}"))
            print(f"Evaluations are made otherwise from now on: what was best before is kept in {kept}.")
