"""Ours as users run it: a method in the Trainer, without evaluation, logging and checkpoints."""

import logging
import warnings
from argparse import Namespace
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, Trainer

from benchmarks.meter import Meter
from benchmarks.sides import Side
from lightning_dd.methods.base import Distiller


class Timer(Callback):
    """Gives the meter the steps of a run, and keeps the first step's gradient of the images."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.gradient: torch.Tensor | None = None

    def on_train_start(self, *_: object) -> None:
        """Start the first step; it ends with a batch, and the next begins with loading one."""
        self.meter.begin()

    def on_train_batch_start(self, *_: object) -> None:
        """Mark that the data are there."""
        self.meter.enter()

    def on_train_batch_end(self, trainer: Trainer, module: Distiller, *_: object) -> None:
        """End a step."""
        self.meter.tick()
        if self.gradient is None:
            self.gradient = module.images.grad.detach().cpu().clone()


def fit(method: Distiller, data: LightningDataModule, side: Side, options: Namespace) -> dict[str, Any]:
    """Run a method for the warm-up and the measured steps and return what its meter says, with the first gradient."""
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    timer = Timer(Meter(options.warmup, torch.device(options.device)))
    trainer = Trainer(
        accelerator="gpu" if options.device == "cuda" else "cpu",
        devices=1,
        precision=side.precision,
        max_epochs=-1,
        max_steps=options.warmup + options.steps,
        use_distributed_sampler=False,
        callbacks=[timer],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(method, datamodule=data)
    return {**timer.meter.report(), "answer": timer.gradient}
