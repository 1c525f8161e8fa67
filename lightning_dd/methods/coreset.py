"""Coresets as a method: real images, chosen once and left as they are."""

from typing import Any

import torch
from torch import Tensor

from lightning_dd.coresets import Selection
from lightning_dd.coresets.random_real import check_sizes
from lightning_dd.methods.one_shot import OneShot
from lightning_dd.runtime.options import PositiveInt


class Coreset(OneShot):
    """The baselines of the dataset distillation papers: real training images chosen by a rule.

    The rules are `random`; `herding` (arXiv 1611.07725), `k_center` (arXiv 1708.00489) and `k_means` in the feature
    space of a network trained on the whole training set; and `forgetting` (arXiv 1812.05159), which counts how often
    that network forgot an image in training. Papers do not publish that training; ours is in
    `lightning_dd.training.recipes`.

    Args:
        selection: the rule.
        **options: those of `OneShot`.
    """

    paper = "Coreset of real images, as a baseline of Dataset Condensation (ICLR 2021, arXiv 2006.05929)"
    protocol = "dc"
    memory_option = "{model.network.width}"

    def __init__(self, ipc: PositiveInt, selection: Selection = "random", **options: Any) -> None:
        super().__init__(ipc, init="real" if selection == "random" else selection, **options)
        self.selection = selection

    def make(self, draws: torch.Generator) -> Tensor:
        """Return the chosen images, `(N, C, H, W)`.

        Raises:
            UserError: a class has too few images and they may not be repeated.
        """
        data, wanted = self.trainer.datamodule, self.synthetic.images_per_class
        check_sizes(data.train_labels, self.num_classes, wanted, data.class_names, self.repeat_images, noise=False)
        return data.real_images(self.initial_rows(draws))

    def checkpoint_key(self) -> dict[str, Any]:
        """Return what must agree between a checkpoint and a run."""
        return {**super().checkpoint_key(), "selection": self.selection}
