"""MTT: images on which a short training goes where an expert went on the real ones."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from lightning_dd.data.sampling import Batch
from lightning_dd.errors import UserError, check_number
from lightning_dd.experts.trajectories import Trajectories
from lightning_dd.losses.trajectory_distance import trajectory_distance
from lightning_dd.methods.base import Distiller
from lightning_dd.networks import Network, build
from lightning_dd.rng import generator
from lightning_dd.unroll import SGD, CrossEntropy, FlatNetwork, InnerStep
from lightning_dd.unroll.chunked_order import permuted_chunks
from lightning_dd.unroll.unroll import Batches, Inputs, unroll


class NegativeStepSizeError(UserError):
    """The learned step size is no longer positive; images and step size are those of the last step where it was."""


class MTT(Distiller):
    """Dataset Distillation by Matching Training Trajectories (Cazenavette et al., CVPR 2022, arXiv 2203.11932).

    Each step draws an expert and an epoch t of it. A student starts at its weights θ*_t and is trained for N steps on
    mini-batches of the synthetic images, `θ_{n+1} = θ_n - α ∇ CE(θ_n; A(S_n))`. The loss is the squared distance to
    where the expert was M epochs later, `||θ_N - θ*_{t+M}||² / ||θ*_t - θ*_{t+M}||²`, differentiated through all steps
    with respect to the images and the step size α. The experts come first (`configs/experts/`). Networks are tested by
    training them with the learned step size (protocol `mtt`).

    Args:
        ipc: images per class.
        experts: the folder of the experts (their `--model.folder`).
        synthetic_steps: N.
        expert_epochs: M.
        max_start_epoch: T+; t is drawn from 0 to T+ - 1.
        synthetic_batch: synthetic images in a step; None for all.
        step_size: α at the start.
        step_size_lr: learning rate of α.
        step_size_momentum: momentum of α.
        log_step_size: learn the logarithm of α, which cannot turn negative. `step_size_lr` is still that of α: the
            learning rate of the logarithm is chosen so that the first step changes α as much.
        segments_per_step: segments of trajectories whose losses are averaged in a step; shared out among processes.
        recompute: keep only the weights of the N steps, and compute each step again on the way back, in place of
            keeping the graph of all steps; the same result in a fraction of the memory.
        keep_every: with `recompute`, keep the weights of every so many steps only.
        augmentation: DSA operations joined by `_`, one a mini-batch, with parameters for each image; digits leave out
            `flip`. None for none.
        lr: learning rate of the images.
        momentum: momentum of the images.

    Raises:
        UserError: an option is out of its range; `setup` raises it where the experts do not go with the run.
    """

    paper = "Dataset Distillation by Matching Training Trajectories (CVPR 2022, arXiv 2203.11932)"
    published_steps = 5000
    protocol = "mtt"
    full_precision = True
    memory_option = "--model.synthetic_batch or --model.synthetic_steps"

    def __init__(
        self,
        ipc: int,
        experts: str,
        synthetic_steps: int = 20,
        expert_epochs: int = 2,
        max_start_epoch: int = 20,
        synthetic_batch: int | None = None,
        step_size: float = 0.01,
        step_size_lr: float = 1e-5,
        step_size_momentum: float = 0.5,
        log_step_size: bool = False,
        segments_per_step: int = 1,
        recompute: bool = True,
        keep_every: int = 1,
        augmentation: str | None = "color_crop_cutout_flip_scale_rotate",
        lr: float = 1000.0,
        momentum: float = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(ipc, augmentation=augmentation, lr=lr, momentum=momentum, **options)
        for name, value in (
            ("synthetic_steps", synthetic_steps),
            ("expert_epochs", expert_epochs),
            ("max_start_epoch", max_start_epoch),
            ("synthetic_batch", synthetic_batch),
            ("segments_per_step", segments_per_step),
            ("keep_every", keep_every),
        ):
            check_number(name, value)
        if step_size <= 0 or step_size_lr < 0:
            raise UserError(
                f"--model.step_size is above 0 and --model.step_size_lr not below; they cannot be {step_size} and "
                f"{step_size_lr}."
            )
        if not 0 <= step_size_momentum < 1:
            raise UserError(f"--model.step_size_momentum lies in [0, 1) and cannot be {step_size_momentum}.")
        self.experts = experts
        self.synthetic_steps = synthetic_steps
        self.expert_epochs = expert_epochs
        self.max_start_epoch = max_start_epoch
        images = self.num_classes * ipc
        self.synthetic_batch = min(synthetic_batch or images, images)
        self.log_step_size = log_step_size
        # a step of SGD on log α changes α by α² times as much: dα = α d(log α), and dL/d(log α) = α dL/dα
        self.step_size_lr = step_size_lr / step_size**2 if log_step_size else step_size_lr
        self.step_size_momentum = step_size_momentum
        self.segments_per_step = segments_per_step
        self.recompute, self.keep_every = recompute, keep_every
        self.raw_step_size = nn.Parameter(torch.tensor(math.log(step_size) if log_step_size else step_size))
        self._trajectories: Trajectories | None = None
        self._rank, self._world_size = 0, 1

    @property
    def sampling(self) -> None:
        """No real images: the experts have seen them."""
        return None

    @property
    def step_size(self) -> Tensor:
        """α, a scalar."""
        return self.raw_step_size.exp() if self.log_step_size else self.raw_step_size

    @property
    def last_start_epoch(self) -> int:
        """The latest epoch that a student may start from in the whole run."""
        return self.max_start_epoch - 1

    def setup(self, stage: str) -> None:
        """Look at the experts before anything else, and give the images their first values.

        Raises:
            UserError: the experts do not go with the run.
        """
        if stage != "fit":
            return
        self._rank, self._world_size = self.trainer.global_rank, self.trainer.world_size
        data = self.trainer.datamodule
        weights = generator(self.seed, "network")
        self.use(self.open_experts(), build(self.network, self.image_shape, self.num_classes, weights))
        last = self.last_start_epoch + self.expert_epochs
        self._trajectories.check(data.name, data.preprocessing, self.image_shape, self._flat.network, last)
        super().setup(stage)

    def open_experts(self) -> Trajectories:
        """Return the experts in the folder.

        Raises:
            UserError: there are none.
        """
        return Trajectories(self.experts)

    def use(self, trajectories: Trajectories, network: Network) -> None:
        """Take experts, and make functions of the network whose weights they have.

        Args:
            trajectories: of the experts.
            network: of their architecture; its own weights are not used.
        """
        self._trajectories = trajectories
        self._flat = FlatNetwork(network.train())
        self._step = InnerStep(CrossEntropy(self._flat), SGD(), self.compile_objective)

    def on_fit_start(self) -> None:
        """Bring the network's buffers, if any, to where the images are."""
        self._flat.network.to(self.device)

    def build_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return SGD, with rates of its own for the step size."""
        for group in groups:
            if group["name"] == "raw_step_size":
                group.update(name="step_size", lr=self.step_size_lr, momentum=self.step_size_momentum)
        return super().build_optimizer(groups)

    def loss(self, batch: Batch) -> Tensor:
        """Return the distance to the expert after the synthetic steps, averaged over segments."""
        inputs = self.inputs()
        losses = [sum(parameter.sum() * 0 for parameter in self.parameters())]  # a process may have no segment
        for number in range(self._rank, self.segments_per_step, self._world_size):
            index = self.iteration * self.segments_per_step + number
            start, target = self.segment(index)
            losses.append(trajectory_distance(self.student(start, inputs, index), start, target))
        return torch.stack(losses).sum() / self.segments_per_step

    def inputs(self) -> Inputs:
        """Return what the student is trained on: all images and labels."""
        return self.decode()

    def student(self, start: Tensor, inputs: Inputs, index: int) -> Tensor:
        """Return the student's weights after the synthetic steps, differentiable in what it is trained on.

        Args:
            start: `(W,)`.
            inputs: of the mini-batches.
            index: of the segment; the draws are keyed with it.
        """
        batches, step_sizes = self.schedule(index)
        return unroll(
            self._step, start, inputs, batches, step_sizes, recompute=self.recompute, keep_every=self.keep_every
        )

    def schedule(self, index: int) -> tuple[Batches, Tensor]:
        """Return the mini-batches of a segment, as a function of the inputs and the step, and step sizes `(N,)`."""
        order = self._order(index)

        def batches(inputs: Inputs, step: int) -> Inputs:
            return self._mini_batch(inputs, order[step], step, index)

        return batches, self.step_size.expand(self.synthetic_steps)

    def segment(self, index: int) -> tuple[Tensor, Tensor]:
        """Return an expert's weights at the start of a segment and at its end, `(W,)` each.

        Args:
            index: counts the segments of the run; experts take turns in a random order, anew each pass.
        """
        turn, place = divmod(index, len(self._trajectories))
        order = torch.randperm(len(self._trajectories), generator=generator(self.seed, "experts", turn))
        expert = order[place].item()
        epoch = self.start_epoch(generator(self.seed, "start epoch", index))
        ends = (self._trajectories.weights(expert, at) for at in (epoch, epoch + self.expert_epochs))
        start, target = (weights.to(self.images) for weights in ends)
        return start, target

    def start_epoch(self, draws: torch.Generator) -> int:
        """Return the epoch that a student starts from, t."""
        return torch.randint(self.max_start_epoch, (), generator=draws).item()

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """Update the synthetic set once.

        Raises:
            NegativeStepSizeError: the step size is no longer positive.
        """
        super().training_step(batch, batch_index)
        self.log("step_size", self.step_size.detach())
        if self.iteration % self.look_every == 0 and self.step_size.item() <= 0:
            for parameter, values in zip(self.parameters(), self._last_finite or (), strict=False):
                parameter.data.copy_(values)
            raise NegativeStepSizeError(
                f"The learned step size is not positive after step {self.iteration}; images and step size are those "
                f"before it ({self.step_size.item():.3g}): lower --model.step_size_lr, --model.lr or "
                "--model.max_start_epoch, or set --model.log_step_size true."
            )

    def advice(self) -> str:
        """Return what to do about a loss that is not finite."""
        return (
            f"lower --model.lr (now {self.lr:g}), --model.step_size_lr (the step size is now "
            f"{self.step_size.item():.3g}) or --model.max_start_epoch, or set --model.clip."
        )

    def recipe(self) -> dict[str, Any]:
        """Return how networks are trained on the set: with the learned step size."""
        return {**super().recipe(), "step_size": self.step_size.item()}

    def _order(self, index: int) -> list[Tensor | None]:
        """Return the rows of each step's mini-batch; None for all of them."""
        if self.synthetic_batch == len(self.images):  # an order would change nothing
            return [None] * self.synthetic_steps
        draws = generator(self.seed, "order", index)
        chunks = permuted_chunks(len(self.images), self.synthetic_batch, self.synthetic_steps, draws)
        return [rows.to(self.device) for rows in chunks]

    def _mini_batch(self, inputs: Inputs, rows: Tensor | None, step: int, index: int) -> Inputs:
        images, *labels = inputs if rows is None else (tensor.index_select(0, rows) for tensor in inputs)
        if self.augmentation is not None:
            images = self.augmentation(images, generator(self.seed, f"augmentation/{step}", index))
        return images, *labels
