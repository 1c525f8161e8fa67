"""The options of a run for TensorBoard: its tab of hyperparameters, and the config as text."""

from typing import Any

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

METRICS = ("accuracy", "accuracy/random_real", "accuracy/difference", "cost/minutes", "loss")
"""Charts whose last values stand beside the options."""


class HyperparameterLogger(Callback):
    """Log a run's options where TensorBoard compares runs, and its config as text."""

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Log both; a run that is still going is compared too."""
        from torch.utils.tensorboard.summary import hparams

        for writer in writers(trainer):
            text = yaml.safe_dump({**module.options, "trainer": {"max_steps": trainer.max_steps}}, sort_keys=False)
            writer.add_text("config", f"    {text.replace(chr(10), f'{chr(10)}    ')}", trainer.global_step)
            if module.command:
                writer.add_text("command", f"    {module.command}", trainer.global_step)
            experiment, start, _ = hparams(_options(trainer, module), dict.fromkeys(METRICS))
            for summary in (experiment, start):
                writer.file_writer.add_summary(summary)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Mark the run as finished."""
        from torch.utils.tensorboard.summary import hparams

        for writer in writers(trainer):
            *_, end = hparams({}, {})
            writer.file_writer.add_summary(end)


def writers(trainer: Trainer) -> list[Any]:
    """Return the `SummaryWriter` of each TensorBoard logger, in the process that writes."""
    loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
    return [logger.experiment for logger in loggers] if trainer.is_global_zero else []


def _options(trainer: Trainer, module: LightningModule) -> dict[str, int | float | str | bool]:
    """Return the method's options by dotted name, those that were worked out included, and what else makes a run."""
    facts = {"method": type(module).__name__, "data": trainer.datamodule.name, "steps": trainer.max_steps}
    model = module.options.get("model", {}).get("init_args", {})
    return {**facts, **_flat({**model, **module.resolved()})}


def _flat(options: dict[str, Any], prefix: str = "") -> dict[str, int | float | str | bool]:
    found: dict[str, int | float | str | bool] = {}
    for name, value in options.items():
        if isinstance(value, dict) and "class_path" in value:
            found[f"{prefix}{name}"] = value["class_path"].rpartition(".")[2]
            found |= _flat(value.get("init_args", {}), f"{prefix}{name}.")
        elif value is not None and value is not False:  # what is left out is no column
            found[f"{prefix}{name}"] = value if isinstance(value, int | float | str) else str(value)
    return found
