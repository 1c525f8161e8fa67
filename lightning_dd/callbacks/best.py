"""Keep the set that did best on held-out images, and stop when nothing better comes."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from lightning_dd.callbacks.checkpoint import save_checkpoint
from lightning_dd.callbacks.evaluation import Evaluation
from lightning_dd.callbacks.product import run_record
from lightning_dd.callbacks.run_paths import BEST, BEST_CHECKPOINT, run_folder
from lightning_dd.callbacks.snapshot import distilled_set
from lightning_dd.errors import UserError

COMPARABLE = ("protocol", "network", "split", "num_networks", "epochs")


class Best(Callback):
    """Write `best.safetensors` and `checkpoints/best.ckpt` at the evaluation with the best held-out accuracy so far.

    Lightning's own `EarlyStopping` and `ModelCheckpoint` wait for the end of an epoch, and an endless loader has none.
    Nothing is chosen by accuracies on the test set.

    Args:
        patience: stop after so many evaluations in a row that were not better; None goes on to the last step.

    Raises:
        UserError: `patience` is not positive, or there are no evaluations that could be chosen by.
    """

    def __init__(self, patience: int | None = None) -> None:
        if patience is not None and patience < 1:
            raise UserError(f"--best.patience is a number of evaluations, at least 1, and cannot be {patience}.")
        self.patience = patience
        self._considered: int | None = None  # the step whose accuracy was looked at last

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """Find out before the run whether there will be something to choose by."""
        evaluation = _evaluation(trainer)
        if self.patience is None or stage != "fit":
            return
        if evaluation is None or not evaluation.enabled or not evaluation.every_n_steps:
            raise UserError("--best.patience counts evaluations: set --evaluation.every_n_steps.")
        if evaluation.split != "held_out":
            raise UserError(
                "--best.patience chooses when to stop, which the test set must not: set --data.held_out 0.1 and "
                "--evaluation.split held_out."
            )

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
        if trainer.is_global_zero and len(steps) > 1:
            step = steps[accuracies.index(max(accuracies))]
            print(
                f"The best held-out accuracy was {max(accuracies):.2f} % at step {step}: that set is in "
                f"{run_folder(trainer) / BEST}; `test --ckpt_path {run_folder(trainer) / BEST_CHECKPOINT}` tests it."
            )

    def _keep(self, trainer: Trainer, module: LightningModule) -> None:
        folder = run_folder(trainer)
        if trainer.fast_dev_run:
            return
        save_checkpoint(trainer, folder / BEST_CHECKPOINT)
        if trainer.is_global_zero:
            distilled_set(trainer, module, run_record(trainer, module)).save(folder / BEST)

    def _accuracies(self, trainer: Trainer) -> tuple[list[float], list[int]]:
        """Return the held-out accuracies in percent that can be compared with the last one, and their steps."""
        evaluation = _evaluation(trainer)
        records: list[dict[str, Any]] = evaluation.records if evaluation else []
        if not records or records[-1]["split"] != "held_out":
            return [], []
        records = [record for record in records if all(record[key] == records[-1][key] for key in COMPARABLE)]
        return [record["accuracy_mean"] for record in records], [record["step"] for record in records]


def _evaluation(trainer: Trainer) -> Evaluation | None:
    return next((callback for callback in trainer.callbacks if isinstance(callback, Evaluation)), None)
