"""Pictures of the synthetic images for TensorBoard."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from lightning_dd.artifact.picture import page_of
from lightning_dd.runtime.options import CheckedOptions, PositiveInt

LARGEST = 200  # images in the grid


class ImageLogger(CheckedOptions, Callback):
    """Log a grid of the images and a histogram of their pixels.

    Args:
        every_n_steps: updates of the images between two pictures; the first and the last step have one in any case.
    """

    option_group = "gallery"

    def __init__(self, every_n_steps: PositiveInt = 100) -> None:
        self.every_n_steps = every_n_steps

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Show where the images start."""
        self._log(trainer, module)

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: object) -> None:
        """Show the images at every n-th step."""
        if trainer.global_step % self.every_n_steps == 0:
            self._log(trainer, module)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Show the final images."""
        if trainer.global_step % self.every_n_steps:
            self._log(trainer, module)

    @torch.no_grad()
    def _log(self, trainer: Trainer, module: LightningModule) -> None:
        loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        if not loggers or not trainer.is_global_zero:
            return
        images, per_class = module.synthetic.images(), module.synthetic.codec.images_per_class
        pixels = trainer.datamodule.preprocessing.inverse(images[:LARGEST].detach().float().cpu())
        grid = page_of(pixels, columns=min(10, per_class) if per_class > 1 else 10)
        for logger in loggers:
            logger.experiment.add_image("images", grid, trainer.global_step)
            logger.experiment.add_histogram("pixels", pixels, trainer.global_step)
