"""DATM: trajectory matching with learned soft labels, on that part of the trajectories that suits the set's size."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from lightning_dd.errors import UserError
from lightning_dd.experts.labels import expert_logits, rows_that_experts_get_right
from lightning_dd.methods.mtt import MTT
from lightning_dd.rng import generator
from lightning_dd.unroll.unroll import Inputs


class DATM(MTT):
    """Towards Lossless Dataset Distillation via Difficulty-Aligned Trajectory Matching (Guo et al., ICLR 2024).

    arXiv 2310.05773: MTT with three changes. Students start between the epochs T- and T+ of an
    expert, early ones for few images and later ones for many; the upper end may grow from T to T+ over the first steps.
    Labels are learned, as logits of which the loss takes the softmax. A step whose loss is above a threshold changes
    nothing. Images start from those that an expert gets right, labels from the mean logits of the experts that do. The
    experts are trained by GSAM (`configs/experts/*_gsam.yaml`). Networks are tested by training them on the soft labels
    with the learned step size (protocol `datm`).

    Args:
        ipc: images per class.
        experts: the folder of the experts (their `--model.folder`).
        init: how the images start: those of a class that the first expert gets `correct`, in random order (where it
            does not get as many, those of the next experts); or `real` or `noise` as in `MTT`, with labels from the
            first expert.
        min_start_epoch: T-.
        max_start_epoch: T+; t is drawn from T- to T+ - 1.
        first_max_start_epoch: T, the upper end at the first step, if below T+; None is T+ from the first step on.
        expansion_steps: E, after how many steps the upper end is T+.
        label_lr: learning rate of the logits.
        label_momentum: momentum of the logits.
        largest_loss: a step with a larger loss changes nothing; None for no limit.
        synthetic_steps: N.
        lr: learning rate of the images.

    Shape:
        - labels: `(num_classes * ipc, num_classes)` logits

    Raises:
        UserError: an option is out of its range; `setup` raises it where the experts do not go with the run.
    """

    paper = (
        "Towards Lossless Dataset Distillation via Difficulty-Aligned Trajectory Matching (ICLR 2024, arXiv 2310.05773)"
    )
    published_steps = 10_000
    protocol = "datm"
    label_kind = "logits"

    def __init__(
        self,
        ipc: int,
        experts: str,
        init: Literal["correct", "real", "noise"] = "correct",
        min_start_epoch: int = 0,
        max_start_epoch: int = 20,
        first_max_start_epoch: int | None = None,
        expansion_steps: int | None = None,
        label_lr: float = 10.0,
        label_momentum: float = 0.9,
        largest_loss: float | None = 1.0,
        synthetic_steps: int = 80,
        lr: float = 100.0,
        **options: Any,
    ) -> None:
        super().__init__(
            ipc, experts, init=init, max_start_epoch=max_start_epoch, synthetic_steps=synthetic_steps, lr=lr, **options
        )
        first = max_start_epoch if first_max_start_epoch is None else min(first_max_start_epoch, max_start_epoch)
        if not 0 <= min_start_epoch < first:
            raise UserError(
                "--model.min_start_epoch is from 0 to below first_max_start_epoch and max_start_epoch; with "
                f"{first_max_start_epoch} and {max_start_epoch} it cannot be {min_start_epoch}."
            )
        if (expansion_steps is None) != (first_max_start_epoch is None) or (expansion_steps or 1) < 1:
            raise UserError(
                "Give both --model.first_max_start_epoch and --model.expansion_steps (at least 1), or neither."
            )
        if label_lr < 0 or not 0 <= label_momentum < 1:
            raise UserError(
                f"--model.label_lr is not below 0 and --model.label_momentum in [0, 1); they cannot be {label_lr} and "
                f"{label_momentum}."
            )
        self.min_start_epoch = min_start_epoch
        self.first_max_start_epoch, self.expansion_steps = first, expansion_steps
        self.label_lr, self.label_momentum = label_lr, label_momentum
        self.largest_loss = largest_loss
        self.classes = self.labels.clone()
        del self.labels
        self.labels = nn.Parameter(torch.zeros(len(self.images), self.num_classes))

    def setup(self, stage: str) -> None:
        """Look at the experts, and give images and labels their first values; see `MTT.setup`."""
        super().setup(stage)
        if stage == "fit":
            with torch.no_grad():
                self.labels.copy_(self.initial_labels())

    def initial_images(self) -> Tensor:
        """Return `(num_classes * ipc, C, H, W)` starting values; see `MTT.initial_images`."""
        if self.init != "correct":
            return super().initial_images()
        data = self.trainer.datamodule
        rows = rows_that_experts_get_right(
            self._trajectories,
            self._flat,
            data.real_images,
            data.train_labels,
            self.ipc,
            generator(self.seed, "init"),
            self.trainer.strategy.root_device,
        )
        return data.real_images(rows)

    def initial_labels(self) -> Tensor:
        """Return logits `(num_classes * ipc, num_classes)` of the starting images."""
        device = self.trainer.strategy.root_device
        right = self.classes if self.init == "correct" else None
        return expert_logits(self._trajectories, self._flat, self.images.detach(), right, device)

    def build_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return SGD, with rates of their own for step size and labels."""
        for group in groups:
            if group["name"] == "labels":
                group.update(lr=self.label_lr, momentum=self.label_momentum)
        return super().build_optimizer(groups)

    def inputs(self) -> Inputs:
        """Return what the student is trained on: all images and the probabilities of their labels."""
        return self.images, self.labels.softmax(1)

    def start_epoch(self, draws: torch.Generator) -> int:
        """Return the epoch that a student starts from, t."""
        return torch.randint(self.min_start_epoch, self.upper_end(), (), generator=draws).item()

    def upper_end(self) -> int:
        """Return the epoch below which students start at this step."""
        if self.expansion_steps is None:
            return self.max_start_epoch
        grown = (self.max_start_epoch - self.first_max_start_epoch) * self.iteration // self.expansion_steps
        return min(self.max_start_epoch, self.first_max_start_epoch + grown)

    def guard(self, loss: Tensor) -> None:
        """Refuse an update that would spoil the images, and leave one out whose loss is too large.

        Raises:
            NonFiniteLossError: the loss or the gradient is not finite.
        """
        super().guard(loss)
        if self.largest_loss is None:
            return
        whole = self.trainer.strategy.reduce(loss.detach(), reduce_op="sum")  # over processes
        if whole.item() > self.largest_loss:
            for parameter in self.parameters():
                parameter.grad = None  # the optimizer passes over it, and its momentum waits
