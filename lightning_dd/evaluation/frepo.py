"""FRePo's protocol, whose networks learn targets rather than classes (arXiv 2206.00719)."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lightning_dd.artifact.labels import Regime
from lightning_dd.evaluation.protocol import Protocol
from lightning_dd.training.data import NOT_MIRRORED

FREPO_STEPS = {10: 1000, 100: 2000, 200: 20_000, 400: 5000, 500: 5000, 1000: 10_000, 2000: 40_000, 5000: 40_000}
"""By number of images: those of the paper's sets. Another number takes the next larger's, or else the last."""


@dataclass(frozen=True)
class FRePoProtocol(Protocol):
    """Adam under half the squared error, the images always in the same order.

    The learning rate rises linearly over 500 steps and falls along a cosine to 1 %. The paper's network: `FRePoNet`
    with `norm` none.

    Attributes:
        epochs: None; a number takes the place of the published number of steps.
    """

    epochs: int | None = None
    augmentation: str | None = "frepo_flip_color_crop_rotate_translate_cutout"
    learning_rate: float = 3e-4
    momentum: float = 0.0
    weight_decay: float = 0.0
    batch_size: int = 500
    labels: Regime = "targets"
    warm_up: int = 500
    """Steps; no more than half of all."""

    def for_data(self, data: str, network: nn.Module | None) -> "FRePoProtocol":
        """Return the protocol for a data set: neither digits nor Fashion-MNIST are mirrored."""
        if data in (*NOT_MIRRORED, "fashion_mnist"):
            return replace(self, augmentation=self.augmentation.replace("flip_", ""))
        return self

    def num_steps(self, num_images: int) -> int:
        """Return how many steps are made on a set of that size."""
        if self.epochs is not None:
            return self.epochs * self.steps_per_epoch(num_images)
        return FREPO_STEPS[min((size for size in FREPO_STEPS if size >= num_images), default=max(FREPO_STEPS))]

    def lr_factor(self, step: int, num_images: int) -> float:
        """Return the factor of the learning rate at a step."""
        steps = self.num_steps(num_images)
        warm_up = min(self.warm_up, steps // 2)
        if step < warm_up:
            return step / warm_up
        return 0.01 + 0.99 * (0.5 * (1 + math.cos(math.pi * ((step - warm_up) / (steps - warm_up)))))

    def order(self, num_images: int, generator: torch.Generator) -> Tensor:
        """Return the images' own order."""
        return torch.arange(num_images)

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return a fresh optimizer for a network."""
        return torch.optim.Adam(network.parameters(), self.learning_rate)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return half the squared error, summed over classes, mean over the batch."""
        return 0.5 * (logits - labels).square().sum(1).mean()

    def length(self, num_images: int) -> str:
        """Return how long a network trains, for the screen."""
        return f"{self.num_steps(num_images)} steps"
