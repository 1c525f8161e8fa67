"""KIP: ridge regression of real labels with the kernel of an infinitely wide network."""

from functools import partial
from typing import Any, Literal

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lightning_dd.artifact.labels import Labels
from lightning_dd.artifact.synthetic import SyntheticSet
from lightning_dd.data.sampling import Batch, ClassBalanced
from lightning_dd.errors import OptionError
from lightning_dd.losses import centered_targets, fc_ntk, solve_ridge, squared_error
from lightning_dd.methods.base import Distiller
from lightning_dd.runtime.compile import compiled
from lightning_dd.runtime.options import PositiveFloat, PositiveInt
from lightning_dd.training.sources import NoNetworks


class KIP(Distiller):
    """Dataset Meta-Learning from Kernel Ridge-Regression (Nguyen, Chen and Lee, ICLR 2021, arXiv 2011.00050).

    Each step predicts the labels of a class-balanced real batch from the synthetic images X and their labels Y by
    kernel ridge regression, and moves X along the gradient of

        `L = mean_(t, c) (K_ts (K_ss + λI)^-1 Y - y_t)^2 / 2`.

    K is the neural tangent kernel of an infinitely wide fully-connected ReLU network, always in float64. The figures
    that are usually quoted (arXiv 2107.13034) are of a convolutional kernel, whose cost is that of all pairs of pixels
    of all pairs of images: it is not here.

    Args:
        depth: hidden layers of the network.
        real_batch: real images in a step, equally many of each class, and no more of each than the largest has.
        real_chunk: real images whose kernel is in memory at a time; it is then computed again for its gradient. Trades
            time for memory without changing the result; None takes all at once.
        labels: `fixed` at `onehot - 1/C`, or `learned` from there along with the images.
        ridge: λ relative to the mean of the diagonal of K_ss.
        augmentation: DSA operations of the evaluations that augment; nothing is augmented here.
        lr: learning rate (Adam) of images and labels.
        **options: those of `Preparation`.

    Raises:
        OptionError: `real_batch` is below one image a class.
    """

    paper = "Dataset Meta-Learning from Kernel Ridge-Regression (ICLR 2021, arXiv 2011.00050)"
    published_steps = 1000
    protocol = "krr"
    needs = NoNetworks.gives
    memory_option = "{real_chunk}"
    real_option = "real_batch"

    def __init__(
        self,
        ipc: PositiveInt,
        depth: PositiveInt = 1,
        real_batch: PositiveInt = 5000,
        real_chunk: PositiveInt | None = None,
        labels: Literal["fixed", "learned"] = "fixed",
        ridge: PositiveFloat = 1e-6,
        augmentation: str | None = None,
        lr: PositiveFloat = 0.04,
        compile: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(ipc, augmentation=augmentation, lr=lr, momentum=0.0, compile=compile, **options)
        if real_batch < self.num_classes:
            raise OptionError("real_batch", f"must be at least {self.num_classes}, one image a class, got {real_batch}")
        self.depth, self.ridge = depth, ridge
        self.real_batch, self.real_chunk = real_batch, real_chunk
        targets = centered_targets(self.synthetic.classes, self.num_classes)
        self.synthetic.labels = Labels(targets, "targets", learned=labels == "learned")

    def own_networks(self) -> NoNetworks:
        """Return nothing: the network is infinitely wide."""
        return NoNetworks()

    @property
    def sampling(self) -> ClassBalanced:
        """Equally many real images of every class."""
        return ClassBalanced(self.real_batch // self.num_classes)

    def largest_batch(self, labels: Tensor) -> int:
        """Return as many images of every class as the largest has."""
        return super().largest_batch(labels) * self.num_classes

    def setup(self, stage: str) -> None:
        """Refuse a precision that the kernel cannot be computed in; see `Distiller.setup`.

        Raises:
            OptionError: it is below float32.
        """
        if "32" not in str(self.trainer.precision) and "64" not in str(self.trainer.precision):
            raise OptionError("trainer.precision", f"must be 32-true or 64-true for KIP, got {self.trainer.precision}")
        super().setup(stage)

    def recipe(self) -> dict[str, Any]:
        """Return the kernel, for scoring the set by it."""
        return {**super().recipe(), "kernel": {"name": "fc_ntk", "depth": self.depth, "ridge": self.ridge}}

    def build_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(groups, self.lr)

    def objective(self, network: None, synthetic: SyntheticSet, batch: Batch) -> Tensor:
        """Return this process's share of the regression's error, the mean being over the whole batch."""
        kernel = partial(compiled(fc_ntk, self.compile_objective), depth=self.depth)
        images, labels, real = synthetic.images(), synthetic.targets(), batch.images.flatten(0, 1)
        targets = centered_targets(batch.labels.flatten(), self.num_classes)
        solution = solve_ridge(kernel(images), labels, self.ridge)
        if solution.raised > 1:
            rank_zero_warn(f"The regression was too ill-conditioned for ridge {self.ridge:g}: it was raised.")
        parts = real.split(self.real_chunk or max(1, len(real)))
        between = (
            [kernel(real, images)]
            if len(parts) == 1
            else [checkpoint(kernel, part, images, use_reentrant=False) for part in parts]
        )
        count = self.num_classes * batch.images.shape[1]
        return squared_error(torch.cat(between) @ solution.weights, targets, count * self.num_classes)
