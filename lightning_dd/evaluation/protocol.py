"""What a protocol says, and those that train with cross-entropy."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_dd.errors import UserError


@dataclass(frozen=True)
class Protocol:
    """How evaluation networks are trained: SGD with momentum, one drop of the learning rate, cross-entropy.

    Attributes:
        name: as in `--evaluation.protocol`.
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
            those of a regression.
        random_real: name of the protocol for random real images, where that of the set would not be fair to them.
    """

    name: str
    source: str
    epochs: int | None
    augmentation: str | None = None
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch_size: int = 256
    labels: Literal["hard", "soft", "targets"] = "hard"
    random_real: str | None = None

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

    def rate_factor(self, step: int, num_images: int) -> float:
        """Return what the learning rate is multiplied by at a step."""
        return 1.0 if step // self.steps_per_epoch(num_images) <= self.drop_after else 0.1

    def starts_anew(self, step: int, num_images: int) -> bool:
        """Whether the optimizer forgets its momentum before a step."""
        return step == (self.drop_after + 1) * self.steps_per_epoch(num_images)

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

    def highest_rate(self, network: nn.Module, images: Tensor) -> float:
        """Return the learning rate before any factor."""
        return self.learning_rate

    def for_recipe(self, recipe: dict[str, Any]) -> "Protocol":
        """Return the protocol with what a set's own recipe has to say in it."""
        return self

    def length(self, num_images: int) -> str:
        """Return how long a network trains, for the screen."""
        return f"{self.epochs} epochs"

    def describe(self) -> dict[str, Any]:
        """Return plain values, for records and artefacts."""
        return asdict(self)


@dataclass(frozen=True)
class LearnedRateProtocol(Protocol):
    """MTT's and DATM's: the set's learned step size in place of the learning rate, which sets without one keep."""

    def for_recipe(self, recipe: dict[str, Any]) -> Protocol:
        """Return the protocol with the recipe's `step_size`.

        Raises:
            UserError: it is not positive, so nothing can be trained with it.
        """
        step_size = recipe.get("step_size", self.learning_rate)
        if step_size <= 0:
            raise UserError(
                f"The set's learned step size is {step_size:g}, not positive: use --evaluation.protocol dsa."
            )
        return replace(self, learning_rate=step_size)


@dataclass(frozen=True)
class RecordedProtocol(Protocol):
    """DD's: the set brings its own steps, and nothing of what other protocols say matters but `random_real`."""

    def for_recipe(self, recipe: dict[str, Any]) -> Protocol:
        """Return the protocol as it is.

        Raises:
            UserError: the set was not learned with steps of its own.
        """
        if "inner" not in recipe:
            raise UserError("The set brings no steps of its own to train with; use --evaluation.protocol common.")
        return self

    def length(self, num_images: int) -> str:
        """Return how long a network trains, for the screen."""
        return "the steps it was learned with"
