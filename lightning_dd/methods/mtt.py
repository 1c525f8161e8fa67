"""MTT: match the parameter trajectories of experts trained on real data."""

import math
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from lightning_dd.artifact.synthetic import SyntheticSet
from lightning_dd.augmentation import ALL_OPERATIONS
from lightning_dd.data.sampling import Batch
from lightning_dd.errors import UserError
from lightning_dd.experts.segments import ExpertSegments, Segment
from lightning_dd.losses import trajectory_distance
from lightning_dd.methods.base import Distiller
from lightning_dd.rng import generator
from lightning_dd.runtime.options import Momentum, NonNegativeFloat, PositiveFloat, PositiveInt
from lightning_dd.unroll import SGD, CrossEntropy, InnerStep
from lightning_dd.unroll.batch_order import permuted_chunks
from lightning_dd.unroll.unroll import Batches, Inputs, mini_batch, unroll


class NegativeStepSizeError(UserError):
    """The learned step size is no longer positive; images and step size are those of the last step where it was."""


class MTT(Distiller):
    """Dataset Distillation by Matching Training Trajectories (Cazenavette et al., CVPR 2022, arXiv 2203.11932).

    Each step samples an expert and an epoch t of it. A student starts at its weights θ*_t and is trained for N steps on
    mini-batches of the synthetic images, `θ_{n+1} = θ_n - α ∇ CE(θ_n; A(S_n))`. The loss is the squared distance to
    where the expert was M epochs later, `||θ_N - θ*_{t+M}||² / ||θ*_t - θ*_{t+M}||²`, differentiated through all steps
    with respect to the images and the step size α. The experts come first (`configs/experts/`). Networks are tested by
    training them with the learned step size (protocol `mtt`).

    Args:
        experts: the folder of the experts (the option `folder` of `Experts`).
        synthetic_steps: N.
        expert_epochs: M.
        max_start_epoch: T+; t is drawn from 0 to T+ - 1.
        synthetic_batch: synthetic images in a step; None for all.
        step_size: α at the start.
        step_size_lr: learning rate of α.
        step_size_momentum: of α.
        log_step_size: learn the logarithm of α, which cannot turn negative, at a rate with which the first step
            changes α as much as without.
        segments_per_step: segments of trajectories whose losses are averaged in a step; shared out among processes.
        recompute: compute each step again on the way back; the same result in a fraction of the memory.
        augmentation: DSA operations joined by `_`, one a mini-batch, with parameters for each image; digits leave out
            `flip`. None for none.
        **options: those of `Preparation`.

    Raises:
        UserError: from `setup`, where the experts do not go with the run.
    """

    paper = "Dataset Distillation by Matching Training Trajectories (CVPR 2022, arXiv 2203.11932)"
    published_steps = 5000
    protocol = "mtt"
    needs = ExpertSegments.gives
    full_precision = True
    network_options = ("experts", "expert_epochs", "max_start_epoch", "segments_per_step")
    memory_option = "{synthetic_batch} or {synthetic_steps}"

    def __init__(
        self,
        ipc: PositiveInt,
        experts: str,
        synthetic_steps: PositiveInt = 20,
        expert_epochs: PositiveInt = 2,
        max_start_epoch: PositiveInt = 20,
        synthetic_batch: PositiveInt | None = None,
        step_size: PositiveFloat = 0.01,
        step_size_lr: NonNegativeFloat = 1e-5,
        step_size_momentum: Momentum = 0.5,
        log_step_size: bool = False,
        segments_per_step: PositiveInt = 1,
        recompute: bool = True,
        augmentation: str | None = ALL_OPERATIONS,
        lr: PositiveFloat = 1000.0,
        momentum: Momentum = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(ipc, augmentation=augmentation, lr=lr, momentum=momentum, **options)
        self.experts, self.expert_epochs, self.max_start_epoch = experts, expert_epochs, max_start_epoch
        self.synthetic_steps, self.segments_per_step, self.recompute = synthetic_steps, segments_per_step, recompute
        self.synthetic_batch = min(synthetic_batch or len(self.synthetic), len(self.synthetic))
        # a step of SGD on log α changes α by α² times as much: dα = α d(log α), and dL/d(log α) = α dL/dα
        self.step_size_lr = step_size_lr / step_size**2 if log_step_size else step_size_lr
        self.log_step_size, self.step_size_momentum = log_step_size, step_size_momentum
        self.raw_step_size = nn.Parameter(torch.tensor(math.log(step_size) if log_step_size else step_size))

    @property
    def sampling(self) -> None:
        """No real images: the experts have seen them."""
        return None

    @property
    def step_size(self) -> Tensor:
        """α, a scalar."""
        return self.raw_step_size.exp() if self.log_step_size else self.raw_step_size

    def own_networks(self) -> ExpertSegments:
        """Return segments of the recorded experts."""
        return ExpertSegments(self.experts, self.expert_epochs, self.max_start_epoch, per_step=self.segments_per_step)

    @cached_property
    def step(self) -> InnerStep:
        """One step of the student."""
        return InnerStep(CrossEntropy(self.networks.flat), SGD(), self.compile_objective)

    def on_fit_start(self) -> None:
        """Move the network's buffers, if any, to where the images are."""
        self.networks.flat.network.to(self.device)

    def build_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return SGD, with rates of its own for the step size."""
        for group in groups:
            if group["name"] == "step_size":
                group.update(lr=self.step_size_lr, momentum=self.step_size_momentum)
        return super().build_optimizer(groups)

    def objective(self, segments: list[Segment], synthetic: SyntheticSet, batch: Batch) -> Tensor:
        """Return the distance to the expert after the synthetic steps, averaged over segments."""
        inputs = self.inputs(synthetic)
        losses = [self.no_share()]  # a process may have no segment
        for number, *ends in segments:
            start, target = (weights.to(inputs[0]) for weights in ends)
            losses.append(trajectory_distance(self.student(start, inputs, number), start, target))
        return torch.stack(losses).sum() / self.networks.per_step

    def inputs(self, synthetic: SyntheticSet) -> Inputs:
        """Return what the student is trained on: all images and labels."""
        return synthetic.images(), synthetic.targets()

    def student(self, start: Tensor, inputs: Inputs, number: int) -> Tensor:
        """Return the student's weights `(W,)` after the steps of a segment, differentiable in the inputs."""
        batches, step_sizes = self.batches(number)
        return unroll(self.step, start, inputs, batches, step_sizes, recompute=self.recompute)

    def batches(self, number: int) -> tuple[Batches, Tensor]:
        """Return the mini-batches of a segment, whose number keys the draws, and step sizes `(N,)`."""
        order = self._order(number)

        def batches(inputs: Inputs, step: int) -> Inputs:
            draws = generator(self.seed, f"augmentation/{step}", number)
            return mini_batch(inputs, order[step], self.augmentation, draws)

        return batches, self.step_size.expand(self.synthetic_steps)

    def after_update(self) -> None:
        """Log the step size, and see that it is positive.

        Raises:
            NegativeStepSizeError: it is not.
        """
        self.log("step_size", self.step_size.detach())
        if (self.iteration + 1) % self.finite_check_interval == 0 and self.step_size.item() <= 0:
            self.restore_last_finite()
            self.iteration += 1  # the step was made
            raise NegativeStepSizeError(
                f"The learned step size is not positive after step {self.iteration}; images and step size are "
                f"those before it ({self.step_size.item():.3g}): lower {{step_size_lr}}, {{lr}} or {{max_start_epoch}},"
                " or set {log_step_size} true."
            )

    def is_valid(self) -> bool:
        """Return whether all learned tensors are finite and the step size is positive."""
        return super().is_valid() and self.step_size.item() > 0

    def hint(self) -> str:
        """Return what to do about a loss that is not finite."""
        return (
            f"lower {{lr}} (now {self.lr:g}), {{step_size_lr}} (the step size is now {self.step_size.item():.3g}) or "
            "{max_start_epoch}, or set {clip}."
        )

    def recipe(self) -> dict[str, Any]:
        """Return how networks are trained on the set: with the learned step size."""
        return {**super().recipe(), "step_size": self.step_size.item()}

    def _order(self, number: int) -> list[Tensor | None]:
        """Return the rows of each step's mini-batch; None for all of them."""
        images = len(self.synthetic)
        if self.synthetic_batch == images:  # an order would change nothing
            return [None] * self.synthetic_steps
        order = generator(self.seed, "order", number)
        chunks = permuted_chunks(images, self.synthetic_batch, self.synthetic_steps, order)
        return [rows.to(self.device) for rows in chunks]
