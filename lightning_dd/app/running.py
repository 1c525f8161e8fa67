"""Callbacks, defaults and checks of every run, from the command line or from Python."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import (
    EarlyStopping,
    GradientAccumulationScheduler,
    ModelCheckpoint,
    StochasticWeightAveraging,
)
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher
from lightning.pytorch.utilities import rank_zero_only
from torch.distributed import default_pg_timeout

from lightning_dd.app.advice import advice
from lightning_dd.artifact.files import atomic
from lightning_dd.callbacks import (
    ArtifactWriter,
    AtomicCheckpointIO,
    BestCheckpoint,
    Evaluation,
    GracefulShutdown,
    HyperparameterLogger,
    ImageLogger,
    LastCheckpoint,
    ReplicaSyncCheck,
    RunSummary,
    StepTimer,
)
from lightning_dd.callbacks.run_paths import CONFIG
from lightning_dd.callbacks.shutdown import remove_empty_run_dir
from lightning_dd.errors import OptionError, UserError
from lightning_dd.runtime.precision import Float32Fallback, faster_in_bf16

CPU = torch.device("cpu")
PROCESS_TIMEOUT = timedelta(days=30)
"""Of a collective operation: another process may train a network meanwhile; the end of one is noticed at once."""
TRAINER_DEFAULTS: dict[str, Any] = {
    "max_epochs": -1,  # the loader is endless: max_steps says when to stop
    "default_root_dir": "runs",
    "use_distributed_sampler": False,  # the sampler shares the work itself
    "num_sanity_val_steps": 0,
    "inference_mode": False,  # `test` trains networks
    "enable_model_summary": False,
    "log_every_n_steps": 10,
}

CALLBACKS = {
    "cost": StepTimer,
    "summary": RunSummary,
    "agreement": ReplicaSyncCheck,
    "evaluation": Evaluation,
    "gallery": ImageLogger,
    "hyperparameters": HyperparameterLogger,
    "product": ArtifactWriter,
    "best": BestCheckpoint,
    "checkpoint": LastCheckpoint,
    "guard": GracefulShutdown,
}
"""In the order in which they are called: a step's clock stops before an evaluation, which comes before its record."""


class Events(TensorBoardLogger):
    """TensorBoard's events alone: `config.yaml` and `results.json` say what a file of hyper-parameters would.

    Nor is there a chart of epochs, of which an endless loader has none.
    """

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Log scalars but for `epoch`, which Lightning adds."""
        super().log_metrics({name: value for name, value in metrics.items() if name != "epoch"}, step)

    def save(self) -> None:
        """Write the events; Lightning would add an empty `hparams.yaml`."""
        self.experiment.flush()


class RunConfig(SaveConfigCallback):
    """`config.yaml` in the run's folder, whole or not at all; Lightning's own writes over an old one."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the folder, which is collective, and write the file once.

        Raises:
            UserError: it cannot be written.
        """
        self._folder = Path(trainer.log_dir)
        super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file, without what would lead another run into this one's folder."""
        config = self.config.clone()
        config.ckpt_path = None
        logger = config.trainer.logger
        if hasattr(logger, "get") and logger.get("class_path", "").endswith(f".{Events.__name__}"):
            config.trainer.logger = None
        with atomic(self._folder / CONFIG) as temporary:
            temporary.write_text(self.parser.dump(config, skip_none=False), encoding="utf-8")


LEAST_PROCESSES = 8
"""So many processes may be tried on any machine."""
OF_ALL = (GracefulShutdown, RunSummary)
DISTILLER_CALLBACKS = tuple(callback for callback in CALLBACKS.values() if callback not in OF_ALL)
"""Those that need a synthetic set, which experts have not."""


NO_EPOCHS = "waits for the end of an epoch, which an endless loader never has"
REFUSED: dict[type[Callback], str] = {
    EarlyStopping: f"{NO_EPOCHS}: use {{best.patience}} with {{evaluation.split}} held_out",
    StochasticWeightAveraging: f"{NO_EPOCHS}, and averages networks, not images: leave it out",
    GradientAccumulationScheduler: "has no effect on a method's own updates: use a larger batch of real images",
}
"""Lightning's callbacks that do not work with an endless loader."""


def prepare_trainer(trainer: Trainer, spell: Callable[[str], str] | None = None) -> None:
    """Have checkpoints written whole, no bf16 emulated, processes wait for each other, and what is ignored refused.

    Args:
        trainer: of the run.
        spell: how the entry point writes the name of an option; None as from Python.

    Raises:
        UserError: a callback or an option of the trainer has no effect on a method.
    """
    if getattr(trainer.strategy, "_timeout", None) == default_pg_timeout:
        trainer.strategy._timeout = PROCESS_TIMEOUT
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # a user's own plugin stays
        trainer.strategy.checkpoint_io = AtomicCheckpointIO()
    on_cpu = isinstance(trainer.accelerator, CPUAccelerator)
    if trainer.precision == "bf16-mixed" and on_cpu and not faster_in_bf16(CPU):
        trainer.strategy.precision_plugin = Float32Fallback()
    for callback in trainer.callbacks:
        if isinstance(callback, RunSummary):
            callback.advice = partial(advice, spell=spell)
        if type(callback) in REFUSED:
            raise UserError(f"Lightning's {type(callback).__name__} {REFUSED[type(callback)]}.")
        if isinstance(callback, ModelCheckpoint) and (callback.monitor or callback.every_n_epochs):
            raise UserError(
                "Lightning's ModelCheckpoint takes every_n_train_steps alone: an endless loader has no end of an "
                "epoch, and the accuracies of an evaluation are not among the metrics that it can monitor. "
                "{checkpoint.every_n_steps} keeps the last checkpoint, {evaluation.split} held_out the best."
            )
    if trainer.gradient_clip_val:
        raise OptionError("trainer.gradient_clip_val", "does not reach a method's own updates: use {clip}")
    if trainer.accumulate_grad_batches != 1:
        raise OptionError("trainer.accumulate_grad_batches", REFUSED[GradientAccumulationScheduler])


def check_processes(trainer: Trainer) -> None:
    """Refuse more processes than a machine without GPUs can run, strategies that fork or spawn them, and nodes alone.

    A process that was forked or spawned cannot say in one sentence what is wrong: the first prints its traceback.

    Raises:
        OptionError: names the option.
    """
    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        raise OptionError("trainer.strategy", "must be ddp where there are several processes, or auto")
    largest = max(LEAST_PROCESSES, os.cpu_count() or 1)
    if isinstance(trainer.accelerator, CPUAccelerator) and trainer.num_devices > largest:
        raise OptionError("trainer.devices", f"must be at most {largest} on this machine, got {trainer.num_devices}")
    cluster = getattr(trainer.strategy, "cluster_environment", None)
    if trainer.num_nodes > 1 and isinstance(cluster, LightningEnvironment) and "MASTER_ADDR" not in os.environ:
        raise OptionError("trainer.num_nodes", "needs the first node's address in MASTER_ADDR, on every node")


def check_learned(trainer: Trainer) -> None:
    """Refuse to end well where nothing was learned, now or before; remove the folder of a run without a step.

    Raises:
        UserError: says what to look at.
    """
    if trainer.lightning_module.learned:
        return
    folder = trainer.log_dir  # asked of every process, or those that ask wait for the others
    if trainer.is_global_zero and folder and not trainer.fast_dev_run:
        remove_empty_run_dir(Path(folder))
    limits = ("max_steps", "max_epochs", "max_time", "limit_train_batches")
    named = ", ".join(f"{{trainer.{name}}}" for name in limits)
    raise UserError(f"Nothing was learned: the run ended before its first step; look at {named}.")


def silence_third_party_warnings() -> None:
    """Silence warnings about deliberate choices of this program, and advertisements."""
    for message in (
        ".*does not have many workers.*",
        ".*LeafSpec.*is deprecated.*",
        ".*args parameter is intended to run.*",
        "Using ModelCheckpoint with manual optimization.*",
    ):
        warnings.filterwarnings("ignore", message)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_no_tip)
    logging.getLogger("lightning.pytorch.trainer.connectors.checkpoint_connector").setLevel(logging.WARNING)
    if rank_zero_only.rank:  # rank 0 prints for all, except errors
        warnings.simplefilter("ignore")
        for package in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(package).setLevel(logging.ERROR)


def _no_tip(record: logging.LogRecord) -> bool:
    return "Tip:" not in str(record.msg)


@contextmanager
def quiet_trainer() -> Iterator[None]:
    """Keep from the screen what Lightning says of devices and of the end of a run; its warnings stay."""
    loggers = [logging.getLogger(f"lightning.{name}.utilities.rank_zero") for name in ("pytorch", "fabric")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
