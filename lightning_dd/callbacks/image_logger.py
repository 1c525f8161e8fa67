"""Pictures of the synthetic images for TensorBoard."""

import io

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_dd.artifact.picture import png
from lightning_dd.callbacks.hyperparameters import writers
from lightning_dd.runtime.options import CheckedOptions, PositiveInt

LARGEST = 200  # images in the picture
PER_CLASS = 10


class ImageLogger(CheckedOptions, Callback):
    """Log the images under the names of their classes, and a histogram of their pixels.

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
        if not (found := writers(trainer)):
            return
        classes, shown = module.synthetic.classes, min(PER_CLASS, module.synthetic.images_per_class)
        rows = torch.arange(len(classes)).view(module.num_classes, -1)[: max(1, LARGEST // shown), :shown].flatten()
        images = module.synthetic.images()[rows.to(module.device)].detach().float().cpu()
        pixels = trainer.datamodule.preprocessing.inverse(images)
        picture = _read(png(pixels, classes[rows], trainer.datamodule.class_names))
        for writer in found:
            writer.add_image("images", picture, trainer.global_step, dataformats="HWC")
            writer.add_histogram("pixels", pixels, trainer.global_step)


def _read(content: bytes) -> "torch.Tensor":
    """Return a PNG as `(H, W, 3)` uint8."""
    import numpy as np
    from PIL import Image

    return torch.from_numpy(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).copy())
