"""DANCE: match mean features under partly trained networks, and classify rightly under the trained ones."""

from typing import Any

from torch import Tensor

from lightning_dd.artifact.codecs import CodecFactory, Tiles
from lightning_dd.artifact.synthetic import SyntheticSet
from lightning_dd.augmentation.dsa import CHAIN
from lightning_dd.data.sampling import Batch
from lightning_dd.methods.dm import DM
from lightning_dd.methods.pixels import clamp_stored, pixel_bounds, pixel_std
from lightning_dd.networks import Network
from lightning_dd.runtime.options import NonNegativeFloat, PositiveFloat, PositiveInt
from lightning_dd.training.pretrained import PretrainedNetworks
from lightning_dd.training.recipes import Recipe


class DANCE(DM):
    """Dual-View Distribution Alignment for Dataset Condensation (Zhang et al., IJCAI 2024, arXiv 2406.01063).

    Each step takes one of a few networks that were trained on the real images, at weights drawn between its initial and
    its last ones, and matches the mean features of each class as `DM` does. Under the last weights, the synthetic
    images must also be classified rightly: `loss = sum_c || mean f(T_c) - mean f(S_c) ||² + w sum_c CE(S_c)`.

    It departs from the official code in this: all classes make one step together, which is a step for each class with
    a momentum of its own; tiles start as means of areas, there as nearest pixels; stored images are clamped to pixel
    values in [0, 1], as there, but not where they are whitened or stored as frequencies; all decoded images of a class
    take part in a step, there at most 200.

    Args:
        real_per_class: real images of each class in a step.
        augmentation: DSA operations; the paper applies color, crop and cutout one after another.
        calibration: w, the weight of the cross-entropy.
        clamp: keep pixel values in [0, 1].
        num_networks: networks that are trained first, where `networks` names no source.
        network_epochs: epochs of each, likewise.
        codec: the paper stores four images in one.
        lr: learning rate of the stored images; None takes the paper's, 0.01 for each image of a class, for pixels in
            [0, 1], which divided by the variance of the pixels is the same step in normalized space.
        **options: those of `ClassBalancedDistiller`.
    """

    paper = "Dual-View Distribution Alignment for Dataset Condensation (IJCAI 2024, arXiv 2406.01063)"
    published_steps = 10_000
    protocol = "dance"
    network_options = ("num_networks", "network_epochs")
    pixel_lr = 0.01
    """The paper's learning rate of pixels in [0, 1], for each image of a class."""
    pretraining_recipe: Recipe = "dance"
    """How the official code trains its networks; see `lightning_dd.training.recipes`."""

    def __init__(
        self,
        ipc: PositiveInt,
        real_per_class: PositiveInt = 128,
        augmentation: str | None = CHAIN,
        calibration: NonNegativeFloat = 1.0,
        clamp: bool = True,
        num_networks: PositiveInt = 5,
        network_epochs: PositiveInt = 60,
        codec: CodecFactory = Tiles,
        lr: PositiveFloat | None = None,
        **options: Any,
    ) -> None:
        shared = {"real_per_class": real_per_class, "augmentation": augmentation, "codec": codec}
        super().__init__(ipc, lr=lr or 1.0, **shared, **options)
        self.calibration, self.clamp, self._given_lr = calibration, clamp, lr
        self.num_networks, self.network_epochs = num_networks, network_epochs

    def own_networks(self) -> PretrainedNetworks:
        """Return a few networks trained on the real images, each at weights between its first and its last."""
        return PretrainedNetworks(self.num_networks, self.network_epochs, self.pretraining_recipe, mix=True)

    def setup(self, stage: str) -> None:
        """Prepare, and find the learning rate and the bounds of pixels."""
        super().setup(stage)
        preprocessing = self.trainer.datamodule.preprocessing
        self.lr = self._given_lr or self.published_lr(pixel_std(preprocessing))
        self._bounds = pixel_bounds(preprocessing, self.synthetic.codec) if self.clamp else None

    def published_lr(self, std: float) -> float:
        """Return the published learning rate in a space whose pixels were divided by `std`."""
        return self.pixel_lr * self.ipc / std**2

    def objective(self, network: Network, synthetic: SyntheticSet, batch: Batch) -> Tensor:
        """Return the distance of features and the cross-entropy, summed over the batch's classes."""
        if len(batch.classes) == 0:
            return self.no_share()
        loss, features = self.match(network, synthetic, batch)
        if not self.calibration:
            return loss
        trained = self.networks.trained(self.iteration)
        entropy = self.cross_entropy_of(trained, synthetic, batch.classes, features if trained is network else None)
        return loss + self.calibration * len(batch.classes) * entropy

    def after_update(self) -> None:
        """Keep pixel values in [0, 1]."""
        clamp_stored(self.synthetic.codec, self._bounds)
