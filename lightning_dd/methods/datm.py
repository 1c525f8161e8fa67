"""DATM: trajectory matching with learned soft labels, on that part of the trajectories that suits the set's size."""

from typing import Any, Literal

import torch
from torch import Tensor

from lightning_dd.artifact.labels import Labels
from lightning_dd.coresets.random_real import check_sizes
from lightning_dd.experts.labels import expert_logits, rows_that_experts_get_right
from lightning_dd.experts.segments import ExpertSegments
from lightning_dd.methods.mtt import MTT
from lightning_dd.runtime.options import Momentum, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt


class DATM(MTT):
    """Towards Lossless Dataset Distillation via Difficulty-Aligned Trajectory Matching (Guo et al., ICLR 2024).

    arXiv 2310.05773: MTT with three changes. Students start between the epochs T- and T+ of an expert, early for few
    images and late for many; the upper end may grow from T to T+ over the first steps. Labels are learned, as logits of
    which the loss takes the softmax. A step with too large a loss changes nothing. Images start from those that an
    expert gets right, labels from the mean logits of the experts that do. The experts are trained by GSAM
    (`configs/experts/*_gsam.yaml`). Networks are tested on the soft labels and learned step size (protocol `datm`).

    Args:
        init: images of the class that the first expert gets `correct` (the next experts, where it gets too few), in
            random order; or `real` or `noise` as in `MTT`, with labels from the first expert.
        min_start_epoch: T-.
        max_start_epoch: T+; t is drawn from T- to T+ - 1.
        first_max_start_epoch: T, the upper end at the first step, if below T+; None is T+ from the first step on.
        expansion_steps: E, after how many steps the upper end is T+.
        label_lr: learning rate of the logits.
        label_momentum: of the logits.
        largest_loss: a step with a larger loss changes nothing; None for no limit.
        **options: those of `MTT`.

    Raises:
        UserError: an option is out of its range; `setup` raises it where the experts do not go with the run.
    """

    paper = (
        "Towards Lossless Dataset Distillation via Difficulty-Aligned Trajectory Matching (ICLR 2024, arXiv 2310.05773)"
    )
    published_steps = 10_000
    protocol = "datm"
    network_options = (*MTT.network_options, "min_start_epoch", "first_max_start_epoch", "expansion_steps")

    def __init__(
        self,
        ipc: PositiveInt,
        experts: str,
        init: Literal["correct", "real", "noise"] = "correct",
        min_start_epoch: NonNegativeInt = 0,
        max_start_epoch: PositiveInt = 20,
        first_max_start_epoch: PositiveInt | None = None,
        expansion_steps: PositiveInt | None = None,
        label_lr: NonNegativeFloat = 10.0,
        label_momentum: Momentum = 0.9,
        largest_loss: NonNegativeFloat | None = 1.0,
        synthetic_steps: PositiveInt = 80,
        lr: PositiveFloat = 100.0,
        **options: Any,
    ) -> None:
        super().__init__(
            ipc, experts, init=init, max_start_epoch=max_start_epoch, synthetic_steps=synthetic_steps, lr=lr, **options
        )
        self.min_start_epoch, self.largest_loss = min_start_epoch, largest_loss
        self.first_max_start_epoch, self.expansion_steps = first_max_start_epoch, expansion_steps
        self.label_lr, self.label_momentum = label_lr, label_momentum
        self.synthetic.labels = Labels(torch.zeros(len(self.synthetic), self.num_classes), "logits", learned=True)
        self.own_networks()  # says what does not go together before hours are spent

    def own_networks(self) -> ExpertSegments:
        """Return segments from the range of epochs that suits the size of the set."""
        ends = self.max_start_epoch, self.min_start_epoch, self.first_max_start_epoch
        return ExpertSegments(self.experts, self.expert_epochs, *ends, self.expansion_steps, self.segments_per_step)

    def initialize(self, draws: torch.Generator) -> None:
        """Give images and labels their first values."""
        super().initialize(draws)
        segments, device = self.networks, self.trainer.strategy.root_device
        right = self.synthetic.classes if self.init == "correct" else None
        images = self.synthetic.images().detach()
        self.synthetic.labels.values.copy_(expert_logits(segments.trajectories, segments.flat, images, right, device))

    def initial_rows(self, draws: torch.Generator) -> Tensor:
        """Return the training images that the synthetic ones start from, `(N,)` rows."""
        if self.init != "correct":
            return super().initial_rows(draws)
        data, experts = self.trainer.datamodule, (self.networks.trajectories, self.networks.flat)
        wanted, device = self.synthetic.images_per_class, self.trainer.strategy.root_device
        check_sizes(data.train_labels, self.num_classes, wanted, data.class_names, self.repeat_images)
        return rows_that_experts_get_right(*experts, data.real_images, data.train_labels, wanted, draws, device)

    def build_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return SGD, with rates of their own for step size and labels."""
        for group in groups:
            if group["name"] == "labels":
                group.update(lr=self.label_lr, momentum=self.label_momentum)
        return super().build_optimizer(groups)

    def accept(self, loss: Tensor) -> Tensor | None:
        """Return whether the loss is small enough for the step to count."""
        if self.largest_loss is None:
            return None
        return self.trainer.strategy.reduce(loss.clone(), reduce_op="sum") <= self.largest_loss  # over processes
