"""Protocols whose networks learn targets rather than classes."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_dd.evaluation.protocol import Protocol
from lightning_dd.evaluation.stable_rate import largest_stable_rate


@dataclass(frozen=True)
class RegressionProtocol(Protocol):
    """What FRePo's and KIP's have in common: learned targets, and a length in steps.

    Attributes:
        epochs: None; a number takes the place of the published number of steps.
    """

    epochs: int | None = None
    labels: Literal["hard", "soft", "targets"] = "targets"

    def num_steps(self, num_images: int) -> int:
        """Return how many steps are made on a set of that size."""
        if self.epochs is not None:
            return self.epochs * self.steps_per_epoch(num_images)
        return self.published_steps(num_images)

    def published_steps(self, num_images: int) -> int:
        """Return the published number of steps."""
        raise NotImplementedError

    def resets_optimizer(self, step: int, num_images: int) -> bool:
        """Return False: the rate changes smoothly."""
        return False

    def length(self, num_images: int) -> str:
        """Return how long a network trains, for the screen."""
        return f"{self.num_steps(num_images)} steps"


FREPO_STEPS = {10: 1000, 100: 2000, 200: 20_000, 400: 5000, 500: 5000, 1000: 10_000, 2000: 40_000, 5000: 40_000}
"""By number of images: those of the paper's sets. Another number takes the next larger's, or else the last."""


@dataclass(frozen=True)
class FRePoProtocol(RegressionProtocol):
    """Adam under half the squared error, the images always in the same order.

    The learning rate rises linearly over 500 steps and falls along a cosine to 1 %. The paper's networks have no
    normalisation: `--evaluation.network FRePoNet --evaluation.network.norm none`.
    """

    augmentation: str | None = "frepo_flip_color_crop_rotate_translate_cutout"
    learning_rate: float = 3e-4
    momentum: float = 0.0
    weight_decay: float = 0.0
    batch_size: int = 500
    warm_up: int = 500
    """Steps; no more than half of all."""

    def for_data(self, data: str, batch_norm: bool) -> "FRePoProtocol":
        """Return the protocol for a data set: neither MNIST nor Fashion-MNIST is mirrored."""
        if data in ("mnist", "fashion_mnist"):
            return replace(self, augmentation=self.augmentation.replace("flip_", ""))
        return self

    def published_steps(self, num_images: int) -> int:
        """Return the published number of steps."""
        return FREPO_STEPS[min((size for size in FREPO_STEPS if size >= num_images), default=max(FREPO_STEPS))]

    def lr_factor(self, step: int, num_images: int) -> float:
        """Return the factor of the learning rate at a step."""
        steps = self.num_steps(num_images)
        warm_up = min(self.warm_up, steps // 2)
        return step / warm_up if step < warm_up else 0.01 + 0.99 * _cosine((step - warm_up) / (steps - warm_up))

    def order(self, num_images: int, generator: torch.Generator) -> Tensor:
        """Return the images' own order."""
        return torch.arange(num_images)

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return a fresh optimizer for a network."""
        return torch.optim.Adam(network.parameters(), self.learning_rate)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return half the squared error, summed over classes, mean over the batch."""
        return 0.5 * (logits - labels).square().sum(1).mean()


@dataclass(frozen=True)
class KIPProtocol(RegressionProtocol):
    """SGD with momentum under half the mean squared error, the learning rate relative to the largest stable one.

    It falls along a cosine to 0 in 5,000 steps (of which the official code makes one more). The paper searches rate and
    weight decay on held-out images; the defaults are those of its notebook. Its networks: `--evaluation.network
    KIPConvNet`.

    Attributes:
        learning_rate: in units of the largest stable rate of each fresh network.
        weight_decay: the paper's l2 regularisation.
    """

    learning_rate: float = 1.0
    weight_decay: float = 1e-3
    batch_size: int = 100

    def published_steps(self, num_images: int) -> int:
        """Return the published number of steps."""
        return 5001

    def lr_factor(self, step: int, num_images: int) -> float:
        """Return the factor of the learning rate at a step."""
        return _cosine(step / max(1, self.num_steps(num_images) - 1))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return half the squared error, mean over classes and the batch."""
        return 0.5 * (logits - labels).square().mean()

    def base_lr(self, network: nn.Module, images: Tensor) -> float:
        """Return the learning rate before any factor."""
        return self.learning_rate * largest_stable_rate(network, images)


def _cosine(progress: float) -> float:
    """Return 1 at the start and 0 at the end."""
    return 0.5 * (1 + math.cos(math.pi * progress))
