"""Evaluation protocols that train networks with cross-entropy, and the base of all others."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.labels import Regime
from lightning_dd.augmentation import ALL_OPERATIONS, DSA
from lightning_dd.augmentation.dc import DCAugmentation
from lightning_dd.augmentation.frepo import FRePoAugmentation
from lightning_dd.errors import UserError, check_number
from lightning_dd.networks import ConvNet
from lightning_dd.networks.base import has_batch_norm
from lightning_dd.training.data import NOT_MIRRORED
from lightning_dd.training.loop import Augmentation, Classifier, mini_batches, train_network

Plan = tuple[Iterable[Tensor], torch.optim.Optimizer, Callable[[int, torch.optim.Optimizer], None]]
_Self = TypeVar("_Self", bound="Protocol")


@dataclass(frozen=True)
class Protocol:
    """The training of evaluation networks: SGD with momentum, one drop of the learning rate, cross-entropy.

    Attributes:
        name: its key, the option `protocol` of an evaluation.
        source: where the protocol comes from.
        epochs: E, as papers and records count them; the loop makes one more, as the official code does.
        augmentation: None; `"dsa"` or `"dsa_..."` (one operation a mini-batch, parameters per image; arXiv 2102.08259;
            the operations are those that the images were distilled with, else the named, else all); `"dc_..."` (one of
            the named operations an image; the older augmentation of arXiv 2006.05929); or `"frepo_..."` (one of the
            named operations a mini-batch, parameters per image; arXiv 2206.00719).
        learning_rate: multiplied by 0.1 once.
        momentum: its buffers restart at the drop.
        weight_decay: of SGD.
        batch_size: images in a step; shuffled each epoch, the last incomplete batch is kept.
        labels: what is trained on: `hard`, class indices; `soft`, probabilities where the set has them; `targets`,
            those of a regression; `kd`, a teacher's for every view.
    """

    trains_networks: ClassVar[bool] = True
    instead_of_epochs: ClassVar[str | None] = None
    """The length of training, where it is no number of epochs."""

    name: str
    source: str
    epochs: int | None
    augmentation: str | None = None
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch_size: int = 256
    labels: Regime = "hard"

    def for_data(self: _Self, data: str, network: nn.Module | None) -> _Self:
        """Return the protocol for a data set: DSA mirrors no digits, unless a set was distilled so.

        Args:
            data: name of the data set.
            network: one of those that will be trained; None where there are none.
        """
        if self.augmentation == "dsa" and data in NOT_MIRRORED:
            return replace(self, augmentation="dsa_color_crop_cutout_scale_rotate")
        return self

    def with_epochs(self: _Self, epochs: int | None) -> _Self:
        """Return the protocol with E in place of the published number; None leaves that.

        Raises:
            UserError: the number is not positive, or has no meaning here.
        """
        if epochs is not None and self.instead_of_epochs:
            raise UserError(f"Protocol {self.name} {self.instead_of_epochs}: leave {{evaluation.epochs}} out.")
        check_number("evaluation.epochs", epochs)
        return self if epochs is None else replace(self, epochs=epochs)

    def bind(self: _Self, recipe: dict[str, Any]) -> _Self:
        """Return the protocol with the values of a set's own recipe.

        Raises:
            UserError: the recipe lacks what the protocol needs.
        """
        return self

    def for_real(self) -> "Protocol":
        """Return the bound protocol for real images in place of the set's, where it heeds how the set was made."""
        return self

    def check_network(self, network: nn.Module, initial_weights: dict[str, Tensor]) -> None:
        """Raise a `UserError` where the protocol starts from the set's weights and the network has others."""

    def fit(
        self,
        fresh: Callable[[], nn.Module],
        images: Tensor,
        labels: Tensor,
        distilled: DistilledDataset,
        generator: torch.Generator,
    ) -> Classifier:
        """Return a classifier that has learned the images: here, a fresh network after its training.

        Args:
            fresh: makes a network with fresh weights, on the device of the images.
            images: `(N, C, H, W)` in the space in which networks are trained.
            labels: as the protocol wants them.
            distilled: the set, for what it brings besides; random real images come in its place.
            generator: on CPU; draws the order of the images and their augmentation.
        """
        network = fresh()
        augment = self.augment(distilled.recipe.get("augmentation"))
        self.train(network, images.detach(), labels.detach(), distilled, augment, generator)
        return network

    @property
    def heeds_operations(self) -> bool:
        """Whether the DSA operations that a set was distilled with make a difference."""
        return (self.augmentation or "").startswith("dsa")

    def augment(self, strategy: str | None) -> Augmentation | None:
        """Return the augmentation of each mini-batch, by the set's DSA operations or else the protocol's."""
        if self.augmentation is None:
            return None
        kind, _, operations = self.augmentation.partition("_")
        if kind == "dsa":
            return DSA(strategy or operations or ALL_OPERATIONS)
        return {"dc": DCAugmentation, "frepo": FRePoAugmentation}[kind](operations)

    def train(
        self,
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        distilled: DistilledDataset | None,
        augment: Augmentation | None,
        generator: torch.Generator,
    ) -> None:
        """Train a network in place; see `fit`."""
        rows, optimizer, schedule = self.plan(network, len(images), distilled, generator)
        batches = self.batches(images, labels, rows, distilled, augment, generator)
        train_network(network.train(), batches, self.loss, optimizer, schedule)

    def batches(
        self,
        images: Tensor,
        labels: Tensor,
        rows: Iterable[Tensor],
        distilled: DistilledDataset | None,
        augment: Augmentation | None,
        generator: torch.Generator,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the images and labels of each mini-batch, as the loss wants them; see `fit` and `plan`."""
        return mini_batches(images, labels, rows, augment, generator)

    def plan(
        self, network: nn.Module, count: int, distilled: DistilledDataset | None, generator: torch.Generator
    ) -> Plan:
        """Return the rows of each mini-batch of `count` images, the optimizer and its schedule; see `train_network`."""

        def schedule(step: int, optimizer: torch.optim.Optimizer) -> None:
            if self.resets_optimizer(step, count):
                optimizer.state.clear()
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * self.lr_factor(step, count)

        rows = islice(self.rows(count, generator), self.num_steps(count))
        return rows, self.optimizer(network), schedule

    @property
    def total_epochs(self) -> int:
        """Epochs that are run: E + 1."""
        return self.epochs + 1

    @property
    def drop_after(self) -> int:
        """Index of the last epoch at the full learning rate: E // 2 + 1."""
        return self.epochs // 2 + 1

    def num_steps(self, num_images: int) -> int:
        """Return how many steps are made on a set of that size."""
        return self.total_epochs * self.steps_per_epoch(num_images)

    def steps_per_epoch(self, num_images: int) -> int:
        """Return in how many batches a set of that size is shown."""
        return math.ceil(num_images / self.batch_size)

    def lr_factor(self, step: int, num_images: int) -> float:
        """Return the factor of the learning rate at a step."""
        return 1.0 if step // self.steps_per_epoch(num_images) <= self.drop_after else 0.1

    def resets_optimizer(self, step: int, num_images: int) -> bool:
        """Return whether the optimizer's momentum is cleared before a step."""
        return self.momentum > 0 and step == (self.drop_after + 1) * self.steps_per_epoch(num_images)

    def rows(self, num_images: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Yield the rows of one mini-batch after another, without end."""
        while True:
            yield from self.order(num_images, generator).split(self.batch_size)

    def order(self, num_images: int, generator: torch.Generator) -> Tensor:
        """Return the order `(num_images,)` in which an epoch shows the images."""
        return torch.randperm(num_images, generator=generator)

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return a fresh optimizer for a network."""
        return torch.optim.SGD(
            network.parameters(), self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
        )

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of a batch: logits `(B, C)`; labels `(B,)` indices or `(B, C)`."""
        return F.cross_entropy(logits, labels)

    def length(self, num_images: int) -> str:
        """Return how long a network trains, for the screen."""
        return f"{self.epochs} epochs"

    def describe(self) -> dict[str, Any]:
        """Return plain values, for records and keys."""
        return asdict(self)


@dataclass(frozen=True)
class DCProtocol(Protocol):
    """DC's: it augments, and trains longer, on MNIST and where the network is a ConvNet with batch normalization."""

    def for_data(self, data: str, network: nn.Module | None) -> "DCProtocol":
        """Return the protocol for a data set and a network; of both reasons to augment the network's counts."""
        if isinstance(network, ConvNet) and has_batch_norm(network):
            return replace(self, epochs=1000, augmentation="dc_crop_noise")
        return replace(self, epochs=1000, augmentation="dc_crop_scale_rotate") if data == "mnist" else self


@dataclass(frozen=True)
class CommonProtocol(Protocol):
    """The same for all sets, whatever operations they were distilled with."""

    @property
    def heeds_operations(self) -> bool:
        """No."""
        return False

    def augment(self, strategy: str | None) -> Augmentation | None:
        """Return the protocol's own augmentation of each mini-batch."""
        return super().augment(None)

    def describe(self) -> dict[str, Any]:
        """Return plain values, for records and keys."""
        return {**super().describe(), "operations": "the protocol's"}


@dataclass(frozen=True)
class LearnedLRProtocol(Protocol):
    """MTT's and DATM's: the set's learned step size in place of the learning rate, which sets without one keep."""

    def bind(self, recipe: dict[str, Any]) -> "LearnedLRProtocol":
        """Return the protocol with the recipe's `step_size`; a `UserError` where it is not positive."""
        step_size = recipe.get("step_size", self.learning_rate)
        if step_size <= 0:
            value = f"{step_size:g}, not positive"
            raise UserError(f"The set's learned step size is {value}: use {{evaluation.protocol}} dsa.")
        return replace(self, learning_rate=step_size)
