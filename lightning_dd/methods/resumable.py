"""Checkpoints of a method: the networks, the running average of the images, and what a checkpoint belongs to."""

from textwrap import shorten
from typing import Any

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from lightning_dd.artifact.schema import not_negative
from lightning_dd.artifact.synthetic import SyntheticSet
from lightning_dd.artifact.unpickle import tensors_in
from lightning_dd.errors import UserError
from lightning_dd.methods.task import Task
from lightning_dd.training.sources import NetworkSource
from lightning_dd.training.states import alike

LATER = ("class names", "normalization", "whitening")
"""Entries of the key that earlier checkpoints of this format lack."""
DIGITS = 4  # of statistics, which another processor measures otherwise in the last
LONGEST = 300  # characters of a sentence


class Resumable(Task):
    """A method whose run is resumed where it was stopped, to the same images as if it had never been."""

    ipc: int
    synthetic: SyntheticSet
    networks: NetworkSource
    ema: float | None
    """Decay of the running average of the stored images; None has none."""
    _average: Tensor | None = None

    def scheduled(self) -> bool:
        """Return whether learning rates change."""
        raise NotImplementedError

    @torch.no_grad()
    def average_images(self) -> None:
        """Update the running average of the stored images, where there is one."""
        if self.ema is not None:
            stored = self.synthetic.codec.images
            self._average = stored.clone() if self._average is None else self._average.lerp_(stored, 1 - self.ema)

    def stored_images(self) -> Tensor:
        """Return what the codec stores, as it is evaluated and written: its running average where there is one."""
        return (self.synthetic.codec.images if self._average is None else self._average).detach()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the networks and what the checkpoint belongs to."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["distiller"] |= {"networks": self.networks.state_dict(), "key": self.checkpoint_key()}
        if self._average is not None:
            checkpoint["distiller"]["average"] = self._average

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore what `on_save_checkpoint` added.

        Raises:
            UserError: the checkpoint belongs to another method, data set or IPC.
        """
        super().on_load_checkpoint(checkpoint)
        saved = checkpoint["distiller"]
        for name, ours in self.checkpoint_key().items():
            theirs = saved["key"].get(name, ours if name in LATER else None)
            if theirs != ours:
                sentence = f"The checkpoint was made with {name} {theirs}, but this run has {name} {ours}."
                raise UserError(shorten(sentence, LONGEST, placeholder=" ..."))
        self._check_progress(checkpoint)
        if self.trainer.precision == "64-true":
            self.double()  # Lightning would only after loading, which would have rounded
        if self.ema is not None:
            self._average = saved["average"].to(self.trainer.strategy.root_device, self.synthetic.codec.images.dtype)
        if self.trainer.state.fn == TrainerFn.FITTING:  # a test has no use for them, nor set them up
            self.networks.load_state_dict(saved["networks"])

    def _check_progress(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the state of other steps, or of an optimizer of other parameters: nobody else would notice.

        Raises:
            UserError: says so.
        """
        steps, progress = self.iteration, checkpoint["loops"]["fit_loop"]
        counted = progress.get("epoch_loop.manual_optimization.optim_step_progress", {}).get("total", {})
        parts = [len(checkpoint["optimizer_states"]) == 1, len(checkpoint["lr_schedulers"]) == self.scheduled()]
        saved = checkpoint["distiller"]
        parts += ["key" in saved, saved.get("networks") is not None]
        parts += [bool(saved.get("networks")) or not self.networks.has_state(steps)]
        parts += ["average" in saved if self.ema is not None else "average" not in saved]
        if {checkpoint["global_step"], counted.get("completed")} != {steps} or not all(parts):
            raise UserError(f"The checkpoint is damaged: not all of it is of step {steps}.")
        if not alike(saved.get("average", self.synthetic.codec.images), self.synthetic.codec.images):
            raise UserError("The checkpoint is damaged: its running average is not one of these images.")
        shapes = [parameter.shape for parameter in self.parameters() if parameter.requires_grad]
        for optimizer in checkpoint["optimizer_states"]:
            wrong = [
                place
                for place, tensor in tensors_in(list(optimizer["state"].values()))
                if tensor.ndim and tensor.shape not in shapes
            ]
            numbers = [group.get(name, 0.0) for group in optimizer["param_groups"] for name in ("lr", "momentum")]
            if wrong or not all(map(not_negative, numbers)):
                raise UserError("The checkpoint is damaged: the state of its optimizer is not one of these images.")

    def checkpoint_key(self) -> dict[str, Any]:
        """Return what must agree between a checkpoint and a run."""
        data = self.trainer.datamodule
        normalization = data.preprocessing.normalization
        return {
            "method": type(self).__name__,
            "data set": data.name,
            "class names": ", ".join(data.class_names),
            "normalization": [round(value, DIGITS) for value in (*normalization.mean, *normalization.std)],
            "whitening": data.zca,
            "number of classes": self.num_classes,
            "image shape": list(self.image_shape),
            "ipc": self.ipc,
            "codec": self.synthetic.codec.kind,
        }
