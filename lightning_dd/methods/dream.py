"""DREAM: IDC on real images that stand for all of their class."""

from typing import Any

import torch
from torch import Tensor, nn

from lightning_dd.augmentation import Draw
from lightning_dd.coresets import k_means
from lightning_dd.data.sampling import Batch, ClassBalanced
from lightning_dd.losses import DISTANCES
from lightning_dd.methods.idc import IDC
from lightning_dd.methods.preparation import Init
from lightning_dd.networks import Network
from lightning_dd.networks.build import check_features
from lightning_dd.rng import generator
from lightning_dd.runtime.options import PositiveInt
from lightning_dd.runtime.precision import at_least_float32
from lightning_dd.training.chunks import chunk_size
from lightning_dd.training.data import training_set

AHEAD = 1
"""Batches are sampled this many steps before they are used."""


class DREAM(IDC):
    """DREAM: Efficient Dataset Distillation by Representative Matching (Liu et al., ICCV 2023, arXiv 2302.14416).

    As `IDC`, but a step's real images are those nearest to the centers of k-means, which clusters the features of each
    class under the network of that time. They are chosen anew every few steps; the images start from such ones too, of
    a network trained beforehand, where the official code takes a random one. It departs from that code in this too:
    batches are loaded ahead, so the first choice for a network is that of the network before it.

    DREAM+ (arXiv 2310.15052) matches the mean features of each class besides, as its official code does: with weight 1,
    by squared or absolute differences as the gradients are; and each network begins its life with an epoch on all real
    images.

    Args:
        real_per_class: real images of each class in a step, and clusters of each class.
        every: steps after which images are chosen anew.
        init: how the images start.
        batch_size: images in a mini-batch of the networks' training.
        plus: DREAM+.
        **options: those of `IDC`.

    Raises:
        UserError: the network has no features.
    """

    paper = "DREAM: Efficient Dataset Distillation by Representative Matching (ICCV 2023, arXiv 2302.14416)"

    def __init__(
        self,
        ipc: PositiveInt,
        real_per_class: PositiveInt = 128,
        every: PositiveInt = 10,
        init: Init = "k_means",
        batch_size: PositiveInt = 128,
        plus: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(ipc, real_per_class=real_per_class, init=init, batch_size=batch_size, **options)
        self.every, self.plus = every, plus
        self._absolute = self.distance is DISTANCES["conv_l1"]
        self._chosen: dict[int, Tensor] = {}

    def training_options(self) -> dict[str, Any]:
        """Return how networks are trained on real images, as options of `TrainedNetworks`."""
        return {**super().training_options(), "first_epochs": int(self.plus)}

    @property
    def sampling(self) -> ClassBalanced:
        """The chosen images of every class at each step."""
        return ClassBalanced(self.real_per_class, self.chosen)

    def chosen(self, iteration: int) -> Tensor | None:
        """Return the positions `(num_classes, real_per_class)` of the images chosen for an iteration."""
        return self._chosen[max(first for first in self._chosen if first <= iteration)]

    def _distance(
        self, network: nn.Module, draw: Draw | None, real: Tensor, synthetic: Tensor, labels: Tensor
    ) -> Tensor:
        """Return the distance of some classes' gradients, and of their mean features where these count."""
        distance = super()._distance(network, draw, real, synthetic, labels)
        if not self.plus:
            return distance
        with torch.no_grad():
            goal = self._mean_features(network, draw, real, self.real_chunk)
        with torch.autocast(self.device.type, enabled=False):
            difference = goal.to(synthetic) - self._mean_features(network, draw, synthetic)
            return distance + (difference.abs() if self._absolute else difference.square()).sum()

    def _mean_features(
        self, network: nn.Module, draw: Draw | None, images: Tensor, at_once: int | None = None
    ) -> Tensor:
        """Return the mean of the features of images `(K, n, C, H, W)` under their augmentation, `(K, F)`."""
        features = check_features(network).features
        chunk = images.shape[1] if at_once is None else max(1, at_once // len(images))
        parts = self.augment(draw, images).split(chunk, 1)
        return torch.cat([features(part.flatten(0, 1)).unflatten(0, part.shape[:2]) for part in parts], 1).mean(1)

    def on_fit_start(self) -> None:
        """Choose the first images, before the first batch is sampled; a checkpoint has brought its own."""
        if not self._chosen:
            with self.trainer.precision_plugin.forward_context():  # as in a step
                self._choose(self.networks.at(self.iteration), self.iteration)

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """Update the synthetic set once, and choose images where it is time."""
        super().training_step(batch, batch_index)
        if (self.iteration + AHEAD) % self.every == 0:
            with self.stopwatch.part("networks", self.device):
                self._choose(self.networks.trained(self.iteration - 1), self.iteration + AHEAD)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the chosen images."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["distiller"]["chosen"] = self._chosen

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the chosen images."""
        super().on_load_checkpoint(checkpoint)
        self._chosen = checkpoint["distiller"]["chosen"]

    @torch.no_grad()
    def _choose(self, network: nn.Module, first: int) -> None:
        """Choose images under a network, for the iterations from the first on; of earlier ones keep the last."""
        network = check_features(network).eval()
        labels, draws = self.trainer.datamodule.train_labels, generator(self.seed, "representatives", first)
        rows = []
        for label in range(self.num_classes):
            members = (labels == label).nonzero().flatten()
            nearest = k_means(self._embedded(network, members), min(self.real_per_class, len(members)), draws).cpu()
            rows.append(members[nearest[torch.arange(self.real_per_class) % len(nearest)]])
        network.train()
        self._chosen = {**dict(sorted(self._chosen.items())[-1:]), first: torch.stack(rows)}

    def _embedded(self, network: Network, rows: Tensor) -> Tensor:
        """Return the features `(n, F)` of training images `(n,)`."""
        data, dtype = training_set(self.trainer.datamodule, self.device), next(network.parameters()).dtype
        parts = rows.split(chunk_size(self.real_chunk, network, data.images))
        return torch.cat([at_least_float32(network.features(data.batch(part)[0].to(dtype))) for part in parts])
