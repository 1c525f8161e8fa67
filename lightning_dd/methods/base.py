"""The part that all methods share: the synthetic set as parameters, and one update of it as one step."""

import math
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch.callbacks import Timer
from torch import Tensor, nn

from lightning_dd.augmentation import DSA
from lightning_dd.coresets import select
from lightning_dd.data.sampling import Batch
from lightning_dd.errors import UserError
from lightning_dd.methods.features import run_features
from lightning_dd.methods.task import Task
from lightning_dd.networks import ConvNet, NetworkFactory
from lightning_dd.rng import generator
from lightning_dd.runtime.precision import at_least


class NonFiniteLossError(UserError):
    """The loss or its gradient is not finite; the images are still those of the last finite step."""


Init = Literal["real", "noise", "herding", "k_center", "forgetting", "k_means"]
LOOK_EVERY_ON_GPU = 10


class Distiller(Task):
    """A method: an objective whose parameters are the synthetic images.

    A subclass writes `sampling` and `loss(batch)`, and `update_networks()` where it trains networks. One call of
    `training_step` is one update of the synthetic set.

    Args:
        ipc: images per class.
        network: the network that the method matches on; called with an image shape and a number of classes.
        init: how the images start: `"noise"` (standard normal), `"real"` (random training images of the class), or
            training images chosen by the rule of a coreset, which trains a network on the whole training set first.
        repeat_images: where they start from training images, use those of a class more than once if it has fewer than
            `ipc`.
        augmentation: DSA operations joined by `_`, for example `"color_crop_cutout_flip_scale_rotate"`; None for none.
        lr: learning rate of the images (SGD).
        momentum: momentum of the images.
        clip: largest norm of the gradient of the images in one step; None leaves it as it is.
        lr_decay: factor on the learning rates at the end, reached along a cosine over `trainer.max_steps`; 1 is
            constant, as published.
        feature_epochs: passes over the training set in which that network is trained; only with `init` of a coreset.
        compile: compile the objective with `torch.compile` (slow once, then faster steps).
        num_classes: number of classes (linked to the data on the command line).
        image_shape: `(C, H, W)` (linked to the data on the command line).
        class_names: names in the order of the class indices (linked to the data on the command line).
        seed: every random draw is keyed with it (linked to `seed_everything` on the command line).

    Shape:
        - images: `(num_classes * ipc, C, H, W)`, class-major, in normalised or whitened space, never clipped
        - labels: `(num_classes * ipc,)` class indices, or `(num_classes * ipc, num_classes)` targets of a regression
    """

    paper: ClassVar[str]
    """Title, venue and arXiv id."""
    published_steps: ClassVar[int]
    protocol: ClassVar[str]
    """The evaluation protocol of the paper."""
    look_every = 1
    """Steps between two looks at whether the loss is finite."""
    full_precision: ClassVar[bool] = False
    """Whether the objective and its gradient run without autocast: second derivatives do not survive less."""
    tf32: ClassVar[bool] = False
    """Whether a GPU may compute the objective in TF32: not where gradients are differentiated or systems solved."""
    label_kind = "index"
    """What the labels are, as the artefact says it."""

    def __init__(
        self,
        ipc: int,
        network: NetworkFactory = ConvNet,
        init: Init = "real",
        repeat_images: bool = False,
        augmentation: str | None = None,
        lr: float = 1.0,
        momentum: float = 0.5,
        clip: float | None = None,
        lr_decay: float = 1.0,
        feature_epochs: int = 10,
        compile: bool = False,
        num_classes: int = 10,
        image_shape: tuple[int, int, int] = (3, 32, 32),
        class_names: tuple[str, ...] = (),
        seed: int = 0,
    ) -> None:
        super().__init__(num_classes, image_shape, class_names, seed)
        _require(ipc >= 1, f"--model.ipc is the number of images per class, at least 1, and cannot be {ipc}.")
        _require(lr > 0, f"--model.lr is a learning rate, above 0, and cannot be {lr}.")
        _require(0 <= momentum < 1, f"--model.momentum lies in [0, 1) and cannot be {momentum}.")
        _require(clip is None or clip > 0, f"--model.clip is a norm, above 0, and cannot be {clip}.")
        _require(0 <= lr_decay <= 1, f"--model.lr_decay lies in [0, 1] and cannot be {lr_decay}.")
        self.ipc = ipc
        self.network = network
        self.init = init
        self.repeat_images = repeat_images
        self.feature_epochs = feature_epochs
        self.augmentation = DSA(augmentation) if augmentation else None
        self.lr, self.momentum, self.clip, self.lr_decay = lr, momentum, clip, lr_decay
        self.compile_objective = compile
        self._last_finite: list[Tensor] | None = None
        self.images = nn.Parameter(torch.zeros(num_classes * ipc, *self.image_shape))
        self.register_buffer("labels", torch.arange(num_classes).repeat_interleave(ipc))

    def loss(self, batch: Batch) -> Tensor:
        """Return the objective of this process's share of the work, a scalar to be summed over processes."""
        raise NotImplementedError

    def update_networks(self) -> None:
        """Train the method's networks between two updates of the images; nothing by default."""

    def private_state(self) -> dict[str, Tensor]:
        """Return what has to be in a checkpoint besides images and optimizer: tensors only."""
        return {}

    def load_private_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `private_state` returned."""

    def recipe(self) -> dict[str, Any]:
        """Return how networks are trained on the set, as plain values: what the artefact says of it."""
        return {"augmentation": self.augmentation.strategy if self.augmentation else None}

    def recipe_tensors(self) -> dict[str, Tensor]:
        """Return the tensors that training on the set needs besides images and labels, for the artefact."""
        return {}

    def set_targets(self, targets: Tensor, learned: bool) -> None:
        """Replace the class indices by targets of a regression.

        Args:
            targets: `(num_classes * ipc, num_classes)`.
            learned: whether they are learned along with the images; they are then a parameter.
        """
        del self.labels
        if learned:
            self.labels = nn.Parameter(targets)
        else:
            self.register_buffer("labels", targets)
        self.label_kind = "targets"

    def decode(self) -> tuple[Tensor, Tensor]:
        """Return the images and labels that are trained on: `(N, C, H, W)` and `(N,)` or `(N, num_classes)`."""
        return self.images, self.labels

    def setup(self, stage: str) -> None:
        """Give the images their first values; a checkpoint, loaded later, replaces them."""
        if stage == "fit":
            self._set_length()
            self.look_every = LOOK_EVERY_ON_GPU if self.trainer.strategy.root_device.type == "cuda" else 1
            with torch.no_grad():
                self.images.copy_(self.initial_images())

    def _set_length(self) -> None:
        """Take the published number of steps where nobody said when to stop: the loader is endless."""
        trainer = self.trainer
        timed = any(isinstance(callback, Timer) for callback in trainer.callbacks)
        counted = trainer.max_epochs not in (None, -1) and trainer.limit_train_batches != 1.0
        if trainer.max_steps == -1 and not timed and not counted:
            trainer.fit_loop.epoch_loop.max_steps = self.published_steps

    def initial_images(self) -> Tensor:
        """Return `(num_classes * ipc, C, H, W)` starting values.

        Raises:
            UserError: a class has fewer than `ipc` images and they may not be repeated.
        """
        draw = generator(self.seed, "init")
        if self.init == "noise":
            return torch.randn(self.images.shape, generator=draw)
        data = self.trainer.datamodule
        indices = select(
            "random" if self.init == "real" else self.init,
            data.train_labels,
            self.num_classes,
            self.ipc,
            draw,
            lambda: run_features(self.trainer, self.network, self.feature_epochs, self.seed),
            data.class_names,
            repeat=self.repeat_images,
        )
        return data.real_images(indices)

    def configure_optimizers(self) -> Any:
        """Return the one optimizer, with a named group for each kind of learnable tensor."""
        learned = {name: tensor for name, tensor in self.named_parameters() if tensor.requires_grad}
        optimizer = self.build_optimizer([{"params": [tensor], "name": name} for name, tensor in learned.items()])
        if self.lr_decay == 1:
            return optimizer
        _require(self.trainer.max_steps > 0, "--model.lr_decay ends with the last step: set --trainer.max_steps.")
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self._decay)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def build_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return the optimizer of the images and of whatever else is learned."""
        return torch.optim.SGD(groups, self.lr, momentum=self.momentum)

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """Update the synthetic set once."""
        if batch.iteration != self.iteration:
            raise RuntimeError(f"the data loader is at iteration {batch.iteration}, the method at {self.iteration}")
        optimizer = self.optimizers()
        optimizer.zero_grad()
        precision = at_least(self.device.type, self.full_precision, self.tf32)
        with self.stopwatch.part("loss", self.device), precision:
            loss = self.loss(batch)
            # processes share the work, and backward averages over them: scale the average back to the sum
            self.manual_backward(loss * self.trainer.world_size)
        self.limit_gradients(optimizer)
        self.guard(loss)
        optimizer.step()
        if (scheduler := self.lr_schedulers()) is not None:
            scheduler.step()
        with self.stopwatch.part("networks", self.device):
            self.update_networks()
        self.iteration += 1
        several = self.trainer.world_size > 1
        self.log("loss", loss.detach(), prog_bar=True, sync_dist=several, reduce_fx="sum" if several else "mean")

    def limit_gradients(self, optimizer: Any) -> None:
        """Make the gradients smaller where the method or its user asks for it."""
        if self.clip is not None:
            self.clip_gradients(optimizer, self.clip, "norm")

    def guard(self, loss: Tensor) -> None:
        """Refuse an update that would spoil the images.

        On a GPU, looking at the loss makes the host wait, so it is looked at every few steps only. What is learned goes
        back to what it was when the loss was last seen to be finite.

        Raises:
            NonFiniteLossError: the loss or the gradient is not finite.
        """
        if self.iteration % self.look_every:
            return
        learned = [parameter for parameter in self.parameters() if parameter.grad is not None]
        if torch.stack([loss.isfinite(), *(parameter.grad.isfinite().all() for parameter in learned)]).all():
            self._last_finite = [parameter.detach().clone() for parameter in learned]
            return
        for parameter, values in zip(learned, self._last_finite or (), strict=False):
            parameter.data.copy_(values)
        raise NonFiniteLossError(
            f"The loss is not finite at step {self.trainer.global_step}; the images before it are kept: {self.advice()}"
        )

    def advice(self) -> str:
        """Return what to do about a loss that is not finite."""
        return f"lower --model.lr (now {self.lr:g}), set --model.clip, or look for extreme values in the data."

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the iteration, the private state and what the checkpoint belongs to."""
        checkpoint["distiller"] = {
            "iteration": self.iteration,
            "private_state": self.private_state(),
            "identity": self.identity(),
            "options": self.options,
            "commands": [*self.earlier_commands, self.command],
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back what `on_save_checkpoint` added.

        Raises:
            UserError: the checkpoint belongs to another method, data set or IPC.
        """
        saved = checkpoint.get("distiller")
        _require(saved is not None, "The file given as --ckpt_path is a checkpoint of another program.")
        for name, ours in self.identity().items():
            theirs = saved["identity"][name]
            _require(theirs == ours, f"The checkpoint was made with {name} {theirs}, but this run has {name} {ours}.")
        self.iteration = saved["iteration"]
        self.earlier_commands = saved.get("commands", [])
        self.load_private_state(saved["private_state"])
        if self.trainer.precision == "64-true":
            self.double()  # Lightning would only after loading, which would have rounded

    def identity(self) -> dict[str, Any]:
        """Return what must agree between a checkpoint and a run."""
        return {
            "method": type(self).__name__,
            "data set": self.trainer.datamodule.name,
            "number of classes": self.num_classes,
            "image shape": list(self.image_shape),
            "ipc": self.ipc,
        }

    def _decay(self, step: int) -> float:
        progress = min(1.0, step / max(1, self.trainer.max_steps))
        return self.lr_decay + (1 - self.lr_decay) * (1 + math.cos(math.pi * progress)) / 2


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise UserError(sentence)
