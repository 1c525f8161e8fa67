"""DD: images and step sizes with which a short training ends at weights that do well on real images."""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_dd.augmentation.crop_flip import CropFlip
from lightning_dd.augmentation.dsa import Draw
from lightning_dd.data.sampling import Batch, Uniform
from lightning_dd.errors import UserError, check_number
from lightning_dd.methods.base import Distiller
from lightning_dd.rng import generator
from lightning_dd.training.sources import FreshNetworks
from lightning_dd.unroll import SGD, Adam, CrossEntropy, FlatNetwork, InnerStep, Schedule
from lightning_dd.unroll.chunks import chunk_size, gradient_of, sum_in_chunks
from lightning_dd.unroll.unroll import Inputs, unroll

AVERAGE_DECAY = 0.9


class DD(Distiller):
    """Dataset Distillation (Wang, Zhu, Torralba and Efros, 2018, arXiv 1811.10959).

    Each step draws a network with weights w_0 and a batch of real images. T inner steps train the network on the
    synthetic images, in their fixed order: `w_t = w_{t-1} - η_t ∇ CE(w_{t-1}; S_t)`. The loss is the cross-entropy of
    w_T on the real batch, differentiated exactly through all inner steps, with respect to the images and to the step
    sizes η_t, which are learned as softplus of a parameter. The images are made for these very steps: evaluation
    repeats them (protocol `dd`), and the artefact carries the step sizes, the order, and fixed initial weights.

    Args:
        ipc: images per class.
        init: `noise` (standard normal), `unit_noise` (that, scaled to unit length per image) or `real`.
        unroll: T, the number of inner steps; mini-batches take turns until there are so many.
        images_per_step: images of each class in an inner step; None for all.
        shuffle: draw the mini-batches at random, anew each step, in place of the fixed order.
        classes_per_step: with `shuffle`, how many random classes a mini-batch has; None for all.
        window: differentiate through this many successive steps only (W), and end with the last of them; None for all.
        window_at: where the window lies among the T steps: at random, drawn once per `pass` over the real images or
            for each `step`, or at the `end`.
        step_size: η_t at the start.
        step_sizes: learn one `per_step`, one `scalar` for all steps, or none (`fixed`).
        optimizer: of the inner steps, `sgd` or `adam`.
        inner_momentum: of the inner steps with `sgd`.
        fixed_weights: w_0 is always the same, and a part of the artefact.
        networks_per_step: networks whose losses are averaged in a step; shared out among processes.
        real_batch: real images in a step.
        real_chunk: real images in one forward; trades time for memory without changing the result. None takes 256 on
            CPU, all at once on a GPU. Refused for networks with batch normalisation.
        real_augmentation: `crop_flip` shifts (by up to 4 pixels, reflected) and mirrors real images, as published for
            CIFAR-10.
        augmentation: DSA operations joined by `_`, one a mini-batch, for synthetic and real images; None for none.
        recompute: keep only the weights of the inner steps, and compute each step again on the way back, in place of
            keeping the graph of all steps; the same result in a fraction of the memory.
        keep_every: with `recompute`, keep the weights of every so many inner steps only: still less memory for one more
            forward pass.
        lr: learning rate of the images and of the parameters of the step sizes (Adam).
        momentum: Adam's first beta.
        halve_every: passes over the real images after which `lr` is halved; None for never.
        clip_to_average: largest gradient of the images, as a multiple of the running average (0.9) of its norm.

    Raises:
        UserError: an option is out of its range, or does not go with another.
    """

    paper = "Dataset Distillation (2018, arXiv 1811.10959)"
    published_steps = 23_600  # 400 passes over MNIST; `setup` counts those over other data
    published_passes = 400
    protocol = "dd"
    full_precision = True
    memory_option = "--model.real_chunk or --model.images_per_step"

    def __init__(
        self,
        ipc: int,
        init: Literal["noise", "unit_noise", "real"] = "noise",
        unroll: int = 30,
        images_per_step: int | None = 1,
        shuffle: bool = False,
        classes_per_step: int | None = None,
        window: int | None = None,
        window_at: Literal["pass", "step", "end"] = "pass",
        step_size: float = 0.02,
        step_sizes: Literal["per_step", "scalar", "fixed"] = "per_step",
        optimizer: Literal["sgd", "adam"] = "sgd",
        inner_momentum: float = 0.0,
        fixed_weights: bool = False,
        networks_per_step: int = 1,
        real_batch: int = 1024,
        real_chunk: int | None = None,
        real_augmentation: Literal["crop_flip"] | None = None,
        recompute: bool = True,
        keep_every: int = 1,
        lr: float = 0.01,
        momentum: float = 0.5,
        halve_every: int | None = 40,
        clip_to_average: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(ipc, init=init, lr=lr, momentum=momentum, **options)
        for name, value in (
            ("networks_per_step", networks_per_step),
            ("real_batch", real_batch),
            ("real_chunk", real_chunk),
            ("keep_every", keep_every),
            ("halve_every", halve_every),
        ):
            check_number(name, value)
        for name, value in (("step_size", step_size), ("clip_to_average", clip_to_average)):
            if value is not None and value <= 0:
                raise UserError(f"--model.{name} is above 0 and cannot be {value}.")
        if not 0 <= inner_momentum < 1:
            raise UserError(f"--model.inner_momentum lies in [0, 1) and cannot be {inner_momentum}.")
        if fixed_weights and networks_per_step > 1:
            raise UserError("--model.fixed_weights means one network; leave --model.networks_per_step out.")
        self.schedule = Schedule(
            self.num_classes,
            ipc,
            unroll,
            ipc if images_per_step is None else images_per_step,
            shuffle,
            classes_per_step,
            window,
            window_at,
            self.seed,
        )
        self.images_per_step = self.schedule.per_class
        self.networks_per_step = networks_per_step
        self.real_batch, self.real_chunk = real_batch, real_chunk
        self.halve_every = halve_every
        self.step_size = step_size
        self.inner = Adam() if optimizer == "adam" else SGD(inner_momentum)
        self.fixed_weights = fixed_weights
        self.crop_flip = CropFlip() if real_augmentation else None
        self.recompute, self.keep_every = recompute, keep_every
        self.clip_to_average = clip_to_average
        raw = torch.full((unroll,) if step_sizes == "per_step" else (), math.log(math.expm1(step_size)))
        if step_sizes == "fixed":
            self.register_buffer("raw_step_sizes", raw)
        else:
            self.raw_step_sizes = nn.Parameter(raw)
        self._networks = FreshNetworks(self.network, self.image_shape, self.num_classes, self.seed)
        self._flat: FlatNetwork | None = None
        self._average_norm: Tensor | None = None
        self._rank, self._world_size, self._steps_per_pass = 0, 1, 1

    @property
    def sampling(self) -> Uniform:
        """Real images of any class; processes share the batch, or the networks where there are several."""
        return Uniform(self.real_batch, shared=self.networks_per_step == 1)

    @property
    def step_sizes(self) -> Tensor:
        """η, `(T,)`."""
        return F.softplus(self.raw_step_sizes).expand(self.schedule.steps)

    def setup(self, stage: str) -> None:
        """Give the images their first values, and count the steps of a pass over the real images."""
        self._rank, self._world_size = self.trainer.global_rank, self.trainer.world_size
        self._steps_per_pass = math.ceil(len(self.trainer.datamodule.train_labels) / self.real_batch)
        self.published_steps = self.published_passes * self._steps_per_pass
        super().setup(stage)

    def initial_images(self) -> Tensor:
        """Return `(num_classes * ipc, C, H, W)` starting values."""
        if self.init != "unit_noise":
            return super().initial_images()
        noise = torch.randn(self.images.shape, generator=generator(self.seed, "init"))
        return noise / noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1)

    def configure_optimizers(self) -> Any:
        """Return Adam over images and step sizes, with its halvings."""
        groups = [{"params": [self.images], "name": "images"}]
        if self.raw_step_sizes.requires_grad:
            groups.append({"params": [self.raw_step_sizes], "name": "step_sizes"})
        optimizer = torch.optim.Adam(groups, self.lr, betas=(self.momentum, 0.999))
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.LambdaLR(optimizer, self._decay)}

    def loss(self, batch: Batch) -> Tensor:
        """Return the cross-entropy on the real batch after the inner steps, averaged over networks."""
        images, labels = self.decode()
        real = self._augment_real(batch.images)
        order = self.schedule.order(self.iteration).to(self.device)
        window = self.schedule.differentiated(self.iteration, self._steps_per_pass)
        losses = [self.images.sum() * 0 + self.raw_step_sizes.sum() * 0]  # a process may have no network
        for weights in self._weights():
            trained = unroll(
                self._step,
                weights,
                (images, labels),
                lambda inputs, t: self._mini_batch(inputs, order[t], t),
                self.step_sizes[: window.stop],
                window.start,
                self.recompute,
                self.keep_every,
            )
            losses.append(self._real_loss(trained, real, batch.labels))
        return torch.stack(losses).sum() / self.networks_per_step

    def limit_gradients(self, optimizer: Any) -> None:
        """Clip as all methods do, and keep the gradient of the images near the running average of its norm."""
        super().limit_gradients(optimizer)
        if self.clip_to_average is None:
            return
        norm = torch.linalg.vector_norm(self.images.grad)
        average = norm if self._average_norm is None else self._average_norm.to(norm.device)
        limited = torch.minimum(norm, self.clip_to_average * average)
        self.images.grad.mul_(torch.where(norm > 0, limited / norm, 1.0))
        # what is averaged is limited too: one wild step must not open the way for the next
        self._average_norm = torch.lerp(limited, average, AVERAGE_DECAY)

    def private_state(self) -> dict[str, Tensor]:
        """Return the running average of the gradient's norm, where it is used."""
        return {} if self._average_norm is None else {"average_norm": self._average_norm}

    def load_private_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `private_state` returned."""
        self._average_norm = state.get("average_norm")

    def recipe(self) -> dict[str, Any]:
        """Return how the inner steps use their gradient."""
        inner = {"optimizer": type(self.inner).__name__.lower(), "momentum": getattr(self.inner, "momentum", None)}
        return {**super().recipe(), "inner": inner}

    def recipe_tensors(self) -> dict[str, Tensor]:
        """Return `step_sizes` `(T,)`, `order` `(T, B)` (rows of the images), and fixed initial weights by name."""
        tensors = {"step_sizes": self.step_sizes, "order": self.schedule.order(0, "order of the artefact")}
        if self.fixed_weights:
            (weights,) = self._weights()
            tensors |= {f"initial_weights.{name}": part for name, part in self._flat.named(weights).items()}
        return tensors

    def advice(self) -> str:
        """Return what to do about a loss that is not finite."""
        smallest, largest = (value.item() for value in self.step_sizes.detach().aminmax())
        return (
            f"lower --model.lr (the outer learning rate, now {self.lr:g}) or --model.step_size (the inner step sizes "
            f"started at {self.step_size:g} and are now {smallest:.3g} to {largest:.3g})."
        )

    def _weights(self) -> list[Tensor]:
        """Return the weights of this process's networks: one vector each, or on a GPU all as one stack."""
        number = 0 if self.fixed_weights else self.iteration * self.networks_per_step
        share = range(self.networks_per_step)
        if self.networks_per_step > 1:
            share = share[self._rank :: self._world_size]
        vectors = []
        for index in share:
            network = self._networks.at(number + index, self.device)
            if self._flat is None:
                self._prepare(network)
            vectors.append(self._flat.weights(network).to(self.images.dtype))
        # on two cores a stack of networks was slower than one after the other
        together = len(vectors) > 1 and self.device.type == "cuda" and not getattr(network, "mixes_examples", True)
        return [torch.stack(vectors)] if together else vectors

    def _prepare(self, network: nn.Module) -> None:
        """Make functions of the first network; they serve the weights of all others."""
        self._flat = FlatNetwork(network)
        self._step = InnerStep(CrossEntropy(self._flat), self.inner, self.compile_objective)
        self._real_gradient = gradient_of(CrossEntropy(self._flat, "sum"), self.compile_objective)

    def _mini_batch(self, inputs: Inputs, rows: Tensor, step: int) -> Inputs:
        images, labels = (tensor.index_select(0, rows) for tensor in inputs)
        if self.augmentation is not None:
            images = self.augmentation(images, generator(self.seed, f"augmentation/{step}", self.iteration))
        return images, labels

    def _real_loss(self, weights: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        chunk = chunk_size(self.real_chunk, self._flat.network, images)
        return sum_in_chunks(self._real_gradient, weights, images, labels, chunk) / self.real_batch

    def _augment_real(self, images: Tensor) -> Tensor:
        """Augment this process's real images with its rows of the draw for all of them."""
        share = slice(self._rank, None, self._world_size) if self.sampling.shared else slice(None)
        if self.crop_flip is not None:
            draw = self.crop_flip.draw(self.real_batch, generator(self.seed, "crop_flip", self.iteration))
            images = self.crop_flip.apply(draw[share], images)
        if self.augmentation is None:
            return images
        draws = generator(self.seed, "augmentation/real", self.iteration)
        draw = self.augmentation.draw(1, draws, self.image_shape[1:], self.real_batch).to(self.device)
        return self.augmentation.apply(Draw(draw.operations, draw.values[:, share]), images[None])[0]

    def _decay(self, step: int) -> float:
        halvings = step // (self._steps_per_pass * self.halve_every) if self.halve_every else 0
        return super()._decay(step) * 0.5**halvings
