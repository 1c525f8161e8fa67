"""DD: images and step sizes with which a short training ends at weights that do well on real images."""

import math
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_dd.artifact.synthetic import SyntheticSet
from lightning_dd.augmentation.crop_flip import CropFlip
from lightning_dd.augmentation.dsa import Draw
from lightning_dd.data.sampling import Batch, Uniform
from lightning_dd.errors import OptionError
from lightning_dd.methods.base import Distiller
from lightning_dd.rng import generator
from lightning_dd.runtime.options import Momentum, PositiveFloat, PositiveInt
from lightning_dd.training.chunks import chunk_size
from lightning_dd.training.sources import InitialWeights
from lightning_dd.unroll import SGD, Adam, CrossEntropy, InnerStep, Schedule
from lightning_dd.unroll.chunks import Gradient, gradient_of, sum_in_chunks
from lightning_dd.unroll.unroll import Inputs, mini_batch, unroll

AVERAGE_DECAY = 0.9


class DD(Distiller):
    """Dataset Distillation (Wang, Zhu, Torralba and Efros, 2018, arXiv 1811.10959).

    Each step samples a network with weights w_0 and a batch of real images. T inner steps train the network on the
    synthetic images, in their fixed order: `w_t = w_{t-1} - η_t ∇ CE(w_{t-1}; S_t)`. The loss is the cross-entropy of
    w_T on the real batch, differentiated exactly through all inner steps, with respect to the images and to the step
    sizes η_t, which are learned as softplus of a parameter. The images are made for these very steps: evaluation
    repeats them (protocol `dd`), and the artifact carries the step sizes, the order, and fixed initial weights.

    Args:
        init: `noise` (standard normal), `unit_noise` (that, scaled to unit length per image) or `real`.
        unroll: T, the number of inner steps; mini-batches take turns until there are so many.
        images_per_step: images of each class in an inner step; None for all.
        shuffle: sample the mini-batches at random for each step, in place of the fixed order.
        classes_per_step: with `shuffle`, how many random classes a mini-batch has; None for all.
        window: differentiate through this many successive steps only (W), and end with the last of them; None for all.
        window_at: where the window lies among the T steps: at random, sampled once per `pass` over the real images or
            for each `step`, or at the `end`.
        step_size: η_t at the start.
        step_sizes: learn one `per_step`, one `scalar` for all steps, or none (`fixed`).
        optimizer: of the inner steps, `sgd` or `adam`.
        inner_momentum: of the inner steps with `sgd`.
        fixed_weights: w_0 is always the same, and a part of the artifact.
        networks_per_step: networks whose losses are averaged in a step; shared out among processes.
        real_batch: real images in a step, drawn anew (in the official program in passes); no more than there are.
        real_chunk: real images in one forward; trades time for memory without changing the result. None takes 256 on
            CPU, all on a GPU. Refused for networks with batch normalization.
        real_augmentation: `crop_flip` shifts (by up to 4 pixels, reflected) and mirrors real images, as published for
            CIFAR-10.
        augmentation: DSA operations joined by `_`, one a mini-batch, for synthetic and real images; None for none.
        recompute: compute each step again on the way back; the same result in a fraction of the memory.
        lr: learning rate of the images and of the parameters of the step sizes (Adam).
        momentum: Adam's first beta.
        halve_every: passes over the real images after which `lr` is halved; None for never.
        clip_to_average: largest gradient of the images, as a multiple of the running average (0.9) of its norm,
            the step's own included.
        **options: those of `Preparation`.

    Raises:
        UserError: an option does not go with another.
    """

    paper = "Dataset Distillation (2018, arXiv 1811.10959)"
    published_steps = 23_600  # 400 passes over MNIST; `setup` counts those over other data
    published_passes = 400
    protocol = "dd"
    needs = InitialWeights.gives
    full_precision = True
    network_options = ("networks_per_step", "fixed_weights")
    memory_option = "{real_chunk} or {images_per_step}"
    real_option = "real_batch"

    def __init__(
        self,
        ipc: PositiveInt,
        init: Literal["noise", "unit_noise", "real"] = "noise",
        unroll: PositiveInt = 30,
        images_per_step: PositiveInt | None = 1,
        shuffle: bool = False,
        classes_per_step: PositiveInt | None = None,
        window: PositiveInt | None = None,
        window_at: Literal["pass", "step", "end"] = "pass",
        step_size: PositiveFloat = 0.02,
        step_sizes: Literal["per_step", "scalar", "fixed"] = "per_step",
        optimizer: Literal["sgd", "adam"] = "sgd",
        inner_momentum: Momentum = 0.0,
        fixed_weights: bool = False,
        networks_per_step: PositiveInt = 1,
        real_batch: PositiveInt = 1024,
        real_chunk: PositiveInt | None = None,
        real_augmentation: Literal["crop_flip"] | None = None,
        recompute: bool = True,
        lr: PositiveFloat = 0.01,
        momentum: Momentum = 0.5,
        halve_every: PositiveInt | None = 40,
        clip_to_average: PositiveFloat | None = None,
        **options: Any,
    ) -> None:
        super().__init__(ipc, init=init, lr=lr, momentum=momentum, **options)
        if fixed_weights and networks_per_step > 1:
            raise OptionError("fixed_weights", "means one network: leave {networks_per_step} out")
        ipc = self.synthetic.images_per_class  # decoded ones
        self.images_per_step = images_per_step or ipc
        places = shuffle, classes_per_step, window, window_at, self.seed
        self.schedule = Schedule(self.num_classes, ipc, unroll, self.images_per_step, *places)
        self.networks_per_step, self.fixed_weights = networks_per_step, fixed_weights
        self.real_batch, self.real_chunk, self.recompute = real_batch, real_chunk, recompute
        self.step_size, self.inner = step_size, Adam() if optimizer == "adam" else SGD(inner_momentum)
        self.crop_flip = CropFlip() if real_augmentation else None
        self.halve_every, self.clip_to_average = halve_every, clip_to_average
        raw = torch.full((unroll,) if step_sizes == "per_step" else (), step_size + math.log(-math.expm1(-step_size)))
        if step_sizes == "fixed":
            self.register_buffer("raw_step_sizes", raw)
        else:
            self.raw_step_sizes = nn.Parameter(raw)
        # the running average of the gradient's norm; below zero until there is one
        self.register_buffer("average_norm", torch.tensor(-1.0))
        self._steps_per_pass = 1

    def own_networks(self) -> InitialWeights:
        """Return the weights that each step's training starts from."""
        return InitialWeights(self.networks_per_step, self.fixed_weights)

    @cached_property
    def step(self) -> InnerStep:
        """One inner step."""
        return InnerStep(CrossEntropy(self.networks.flat), self.inner, self.compile_objective)

    @property
    def sampling(self) -> Uniform:
        """Real images of any class; processes share the batch, or the networks where there are several."""
        return Uniform(self.real_batch, shared=self.networks.per_step == 1)

    @property
    def step_sizes(self) -> Tensor:
        """η, `(T,)`."""
        return F.softplus(self.raw_step_sizes).expand(self.schedule.steps)

    def setup(self, stage: str) -> None:
        """Count the steps of a pass over the real images; see `Distiller.setup`."""
        self._steps_per_pass = math.ceil(len(self.trainer.datamodule.train_labels) / self.real_batch)
        self.published_steps = self.published_passes * self._steps_per_pass
        super().setup(stage)
        if stage != "fit" and self.networks.fixed:  # they belong to the set, which a test makes again
            self.networks.setup(self.source_context(device=self.trainer.strategy.root_device))

    def initialize(self, draws: torch.Generator) -> None:
        """Give the synthetic images their first values."""
        if self.init != "unit_noise":
            return super().initialize(draws)
        codec = self.synthetic.codec
        codec.start_noise(draws)
        codec.images.div_(codec.images.flatten(1).norm(dim=1).view(-1, *[1] * (codec.images.ndim - 1)))

    def build_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return Adam over images and step sizes."""
        return torch.optim.Adam(groups, self.lr, betas=(self.momentum, 0.999))

    def scheduled(self) -> bool:
        """Return whether learning rates change."""
        return super().scheduled() or self.halve_every is not None

    def lr_factor(self, step: int) -> float:
        """Return the factor on the learning rates at a step."""
        halvings = step // (self._steps_per_pass * self.halve_every) if self.halve_every else 0
        return super().lr_factor(step) * 0.5**halvings

    def objective(self, starts: list[Tensor], synthetic: SyntheticSet, batch: Batch) -> Tensor:
        """Return the cross-entropy on the real batch after the inner steps, averaged over networks."""
        inputs = synthetic.images(), synthetic.targets()
        real = self._augment_real(batch.images)
        order = self.schedule.order(self.iteration).to(self.device)
        window = self.schedule.differentiated(self.iteration, self._steps_per_pass)

        def batches(inputs: Inputs, t: int) -> Inputs:
            draws = generator(self.seed, f"augmentation/{t}", self.iteration)
            return mini_batch(inputs, order[t], self.augmentation, draws)

        losses = [self.no_share()]  # a process may have no network
        for weights in starts:
            start, sizes = weights.to(inputs[0].dtype), self.step_sizes[: window.stop]
            trained = unroll(self.step, start, inputs, batches, sizes, window.start, self.recompute)
            losses.append(self.real_loss(trained, real, batch.labels))
        return torch.stack(losses).sum() / self.networks.per_step

    def limit_gradients(self, optimizer: Any) -> None:
        """Clip as all methods do, and keep the gradient of the images near the running average of its norm."""
        super().limit_gradients(optimizer)
        if self.clip_to_average is None:
            return
        gradient = self.synthetic.codec.images.grad
        norm = torch.linalg.vector_norm(gradient)
        before = torch.where(self.average_norm < 0, norm, self.average_norm)
        self.average_norm.copy_(torch.lerp(norm, before, AVERAGE_DECAY))
        limited = torch.minimum(norm, self.clip_to_average * self.average_norm)
        gradient.mul_(torch.where(norm > 0, limited / norm, 1.0))

    def recipe(self) -> dict[str, Any]:
        """Return how the inner steps use their gradient."""
        inner = {"optimizer": type(self.inner).__name__.lower(), "momentum": getattr(self.inner, "momentum", None)}
        return {**super().recipe(), "inner": inner}

    def recipe_tensors(self) -> dict[str, Tensor]:
        """Return `step_sizes` `(T,)`, `order` `(T, B)` (rows of the images), and fixed initial weights by name."""
        tensors = {"step_sizes": self.step_sizes, "order": self.schedule.order(0, "order of the artefact")}
        if self.networks.fixed:
            (weights,) = self.networks.at(self.iteration)
            tensors |= {f"initial_weights.{name}": part for name, part in self.networks.flat.named(weights).items()}
        return tensors

    def hint(self) -> str:
        """Return what to do about a loss that is not finite."""
        smallest, largest = (value.item() for value in self.step_sizes.detach().aminmax())
        return (
            f"lower {{lr}} (the outer learning rate, now {self.lr:g}) or {{step_size}} (the inner step sizes started "
            f"at {self.step_size:g} and are now {smallest:.3g} to {largest:.3g})."
        )

    @cached_property
    def real_gradient(self) -> Gradient:
        """The gradient of the summed cross-entropy on real images."""
        return gradient_of(CrossEntropy(self.networks.flat, "sum"), self.compile_objective)

    def real_loss(self, weights: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy of trained weights on this process's real images."""
        shared = self.sampling.shared and self.networks.context.world_size > 1
        chunk = chunk_size(self.real_chunk, self.networks.flat.network, images, shared)
        return sum_in_chunks(self.real_gradient, weights, images, labels, chunk) / self.real_batch

    def _augment_real(self, images: Tensor) -> Tensor:
        """Augment this process's real images with its rows of the draw for all of them."""
        context = self.networks.context
        share = slice(context.rank, None, context.world_size) if self.sampling.shared else slice(None)
        if self.crop_flip is not None:
            draw = self.crop_flip.draw(self.real_batch, generator(self.seed, "crop_flip", self.iteration))
            images = self.crop_flip.apply(draw[share], images)
        if self.augmentation is None:
            return images
        draws = generator(self.seed, "augmentation/real", self.iteration)
        draw = self.augmentation.draw(1, draws, self.image_shape[1:], self.real_batch).to(self.device)
        return self.augmentation.apply(Draw(draw.operations, draw.values[:, share]), images[None])[0]
