"""DSDM: match means and covariances of features under trained networks."""

from typing import Any

import torch
from torch import Tensor

from lightning_dd.artifact.synthetic import SyntheticSet
from lightning_dd.data.sampling import Batch
from lightning_dd.losses import covariance_distance, feature_mean_distance
from lightning_dd.methods.dance import DANCE
from lightning_dd.networks import Network
from lightning_dd.runtime.options import NonNegativeFloat, NonNegativeInt, PositiveInt
from lightning_dd.training.pretrained import PretrainedNetworks

AVERAGE = 0.99


class DSDM(DANCE):
    """Diversified Semantic Distribution Matching for Dataset Distillation (Li et al., ACM MM 2024).

    Each step takes one of a few networks that were trained on the real images and matches the mean features of each
    class, their covariance, and, later on, the mean that the synthetic features had over the steps before (F features):
    `sum_c ||mean_T - mean_S||² + 50/F ||Cov_T - Cov_S||² + 0.2/F ||average of mean_S - mean_S||²`.

    Augmentation, storage, learning rate and clamping are those of `DANCE`, and so are the departures; there is no
    cross-entropy, and networks stay at their last weights. The average takes the means that are matched, where the
    official code computes others after the update, under another draw.

    Args:
        covariance: weight of the second term, times F.
        history: weight of the third, times F.
        history_from: the first step that has it.
        real_per_class: real images of each class in a step.
        num_networks: networks that are trained first, where `networks` names no source.
        network_epochs: epochs of each, likewise.
        **options: those of `DANCE`.
    """

    paper = "Diversified Semantic Distribution Matching for Dataset Distillation (ACM MM 2024)"
    published_steps = 10_000

    def __init__(
        self,
        ipc: PositiveInt,
        covariance: NonNegativeFloat = 50.0,
        history: NonNegativeFloat = 0.2,
        history_from: NonNegativeInt = 2000,
        real_per_class: PositiveInt = 256,
        num_networks: PositiveInt = 10,
        network_epochs: PositiveInt = 20,
        **options: Any,
    ) -> None:
        networks = {"num_networks": num_networks, "network_epochs": network_epochs}
        super().__init__(ipc, real_per_class=real_per_class, calibration=0.0, **networks, **options)
        self.covariance, self.history, self.history_from = covariance, history, history_from
        self._history: Tensor | None = None
        """Running mean of every class's mean synthetic features, `(num_classes, F)`."""

    def own_networks(self) -> PretrainedNetworks:
        """Return a few networks trained on the real images."""
        return PretrainedNetworks(self.num_networks, self.network_epochs, "dsdm")

    def objective(self, network: Network, synthetic: SyntheticSet, batch: Batch) -> Tensor:
        """Return the distance of features, summed over the batch's classes, and keep their running mean."""
        self._classes, self._means = batch.classes, None
        loss = super().objective(network, synthetic, batch)
        self._update_history()
        return loss

    def statistics(self, features: Tensor) -> Tensor:
        """Return the features themselves, `(K, N, F)`."""
        return features

    def distance(self, real: Tensor, synthetic: Tensor) -> Tensor:
        """Return the three terms, summed over classes."""
        means, count = synthetic.mean(1), synthetic.shape[-1]
        self._means = means.detach()
        loss = feature_mean_distance(real.mean(1), means)
        loss = loss + self.covariance / count * covariance_distance(real, synthetic)
        if self._history is not None and self.iteration >= self.history_from:
            average = self._history.to(means)[self._classes]
            loss = loss + self.history / count * feature_mean_distance(average, means)
        return loss

    def _update_history(self) -> None:
        """Update the running mean of all classes, which processes share."""
        count = torch.tensor(0 if self._means is None else self._means.shape[1], device=self.device)
        if self.trainer.world_size > 1:  # a process without classes does not know the number of features
            count = self.trainer.strategy.reduce(count, reduce_op="max")
        kind = torch.promote_types(self.dtype, torch.float32)
        means = torch.zeros(self.num_classes, int(count), device=self.device, dtype=kind)
        if self._means is not None:
            means[self._classes] = self._means.to(means)
        if self.trainer.world_size > 1:
            means = self.trainer.strategy.reduce(means, reduce_op="sum")
        if self._history is not None:
            before = self._history.to(means)
            means = torch.where(means.isfinite().all(), torch.lerp(means, before, AVERAGE), before)
        self._history = means

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the running mean."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["distiller"]["history"] = self._history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the running mean."""
        super().on_load_checkpoint(checkpoint)
        self._history = checkpoint["distiller"]["history"]
