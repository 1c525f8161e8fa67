"""NCFM: match characteristic functions of features."""

from typing import Any, Literal

import torch
from torch import Tensor

from lightning_dd.losses import characteristic_distance, characteristic_function
from lightning_dd.methods.dance import DANCE
from lightning_dd.methods.optimizers import AdamWTowards
from lightning_dd.methods.pixels import pixel_bounds, pixel_std
from lightning_dd.rng import generator
from lightning_dd.runtime.options import PositiveFloat, PositiveInt
from lightning_dd.runtime.precision import at_least_float32


class NCFM(DANCE):
    """Dataset Distillation with Neural Characteristic Function (Wang et al., CVPR 2025, arXiv 2502.20653).

    `DANCE`'s networks and cross-entropy, and in place of mean features the characteristic functions of the features,
    scaled to length 1, at random frequencies t ~ N(0, I): `300 sum_c mean_t sqrt(|Φ_T(t) - Φ_S(t)|² / 2)`; see
    `losses.characteristic_distance`.

    As every configuration of the official code, without the network that samples frequencies. It departs from that code
    in this: there AdamW makes a step for the distance of each class and another for its cross-entropy, by which the
    images of all classes move, and here one for all, which is shorter; and the learning rate does not fall when the
    loss stops to.

    Args:
        frequencies: t's, sampled at each step.
        scale: of the distance.
        optimizer: of the stored images; the official code takes SGD for CIFAR-100 at 10 images per class.
        weight_decay: of the stored images under AdamW, of pixels in [0, 1] towards black; towards zero where they are
            whitened or stored as frequencies.
        momentum: of SGD.
        lr: None takes the official code's for pixels in [0, 1]: 0.001 under AdamW, divided by their standard deviation;
            0.01 under SGD, divided by their variance.
        **options: those of `DANCE`.
    """

    paper = "Dataset Distillation with Neural Characteristic Function (CVPR 2025, arXiv 2502.20653)"
    published_steps = 20_000
    protocol = "ncfm"
    adam_lr = 0.001
    """The official code's learning rate of pixels in [0, 1] under AdamW: a tenth of what its configurations say."""
    pretraining_recipe = "ncfm"

    def __init__(
        self,
        ipc: PositiveInt,
        frequencies: PositiveInt = 4096,
        scale: PositiveFloat = 300.0,
        optimizer: Literal["adamw", "sgd"] = "adamw",
        weight_decay: PositiveFloat = 5e-4,
        real_per_class: PositiveInt = 1024,
        num_networks: PositiveInt = 20,
        **options: Any,
    ) -> None:
        super().__init__(ipc, real_per_class=real_per_class, num_networks=num_networks, **options)
        self.frequencies, self.scale = frequencies, scale
        self.optimizer, self.weight_decay = optimizer, weight_decay
        self._black: Tensor | None = None

    def setup(self, stage: str) -> None:
        """Prepare, and find what black is in the space of the stored images."""
        super().setup(stage)
        if stage == "fit":
            preprocessing = self.trainer.datamodule.preprocessing
            bounds = pixel_bounds(preprocessing, self.synthetic.codec)
            self._black, self._std = bounds and bounds[0], pixel_std(preprocessing)

    def published_lr(self, std: float) -> float:
        """Return the published learning rate in a space whose pixels were divided by `std`."""
        return self.adam_lr / std if self.optimizer == "adamw" else self.pixel_lr / std**2

    def build_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return AdamW, whose decay is that of pixels in [0, 1], or SGD."""
        if self.optimizer == "sgd":
            return super().build_optimizer(groups)
        if self._black is None:
            return torch.optim.AdamW(groups, self.lr, weight_decay=self.weight_decay)
        return AdamWTowards(groups, self.lr, self.weight_decay * self._std, self._black)

    def statistics(self, features: Tensor) -> Tensor:
        """Return the characteristic functions `(K, T, 2)` of features `(K, N, F)`, at this step's frequencies."""
        draws = generator(self.seed, "frequencies", self.iteration, features.device)
        shape = self.frequencies, features.shape[-1]
        with torch.autocast(features.device.type, enabled=False):
            features = at_least_float32(features)
            frequencies = torch.randn(shape, generator=draws, device=features.device).to(features.dtype)
            return characteristic_function(features, frequencies)

    def distance(self, real: Tensor, synthetic: Tensor) -> Tensor:
        """Return the scaled distance, summed over classes."""
        return self.scale * characteristic_distance(real, synthetic)
