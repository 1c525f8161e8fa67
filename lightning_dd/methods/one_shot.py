"""The base of methods that make their images at once, without a gradient."""

from typing import Any

import torch
from torch import Tensor

from lightning_dd.augmentation import ALL_OPERATIONS
from lightning_dd.data.sampling import Batch
from lightning_dd.methods.base import Distiller
from lightning_dd.runtime.options import PositiveInt
from lightning_dd.training.sources import NoNetworks


class OneShot(Distiller):
    """A method that solves instead of stepping: a subclass writes `make`. The run's one step changes nothing.

    Args:
        augmentation: DSA operations of the evaluations that augment, joined by `_`; digits leave out `flip`.
        **options: those of `Preparation`, but for the optimizer's.
    """

    published_steps = 1
    needs = NoNetworks.gives

    def __init__(self, ipc: PositiveInt, augmentation: str | None = ALL_OPERATIONS, **options: Any) -> None:
        super().__init__(
            ipc,
            augmentation=augmentation,
            networks=None,  # named here, these are no options: there is nothing to optimize
            lr=1.0,
            momentum=0.0,
            clip=None,
            lr_decay=1.0,
            ema=None,
            compile=False,
            **options,
        )

    def make(self, draws: torch.Generator) -> Tensor:
        """Return the images, `(N, C, H, W)` in the space in which networks are trained."""
        raise NotImplementedError

    def own_networks(self) -> NoNetworks:
        """Return nothing: there is no objective."""
        return NoNetworks()

    @property
    def sampling(self) -> None:
        """No real images in batches: `make` looks for its own."""
        return None

    def initialize(self, draws: torch.Generator) -> None:
        """Make the images."""
        self.synthetic.codec.start(self.make(draws))

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """Count a step; without a gradient the optimizer leaves the images as they are."""
        self.optimizers().step()
        self.iteration += 1
