"""NCFM: match characteristic functions of features."""

from typing import Any

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
    in this: all classes make one step together, and the learning rate does not fall when the loss stops to.

    Args:
        frequencies: t's, sampled at each step.
        scale: of the distance.
        weight_decay: of the stored images (AdamW), of pixels in [0, 1] towards black; towards zero where they are
            whitened or stored as frequencies.
        lr: None takes the paper's 0.01 for pixels in [0, 1], divided by their standard deviation.
        **options: those of `DANCE`.
    """

    paper = "Dataset Distillation with Neural Characteristic Function (CVPR 2025, arXiv 2502.20653)"
    published_steps = 20_000
    protocol = "ncfm"

    def __init__(
        self,
        ipc: PositiveInt,
        frequencies: PositiveInt = 4096,
        scale: PositiveFloat = 300.0,
        weight_decay: PositiveFloat = 5e-4,
        real_per_class: PositiveInt = 1024,
        num_networks: PositiveInt = 20,
        **options: Any,
    ) -> None:
        shared = {"real_per_class": real_per_class, "num_networks": num_networks}
        super().__init__(ipc, momentum=0.0, **shared, **options)  # AdamW's takes the place of that option
        self.frequencies, self.scale, self.weight_decay = frequencies, scale, weight_decay
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
        return self.pixel_lr / std

    def build_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return AdamW, whose decay is that of pixels in [0, 1]."""
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
