"""Acc-DD: IDC from networks of a few epochs, perturbed."""

from typing import Any

from lightning_dd.methods.idc import IDC
from lightning_dd.runtime.options import NonNegativeFloat, PositiveFloat, PositiveInt
from lightning_dd.training.early import EarlyNetworks


class AccDD(IDC):
    """Accelerating Dataset Distillation via Model Augmentation (Zhang et al., CVPR 2023, arXiv 2212.06152).

    As `IDC`, but a network begins its life as one of a few that were trained on the real images for two epochs, with
    its weights perturbed; so that fewer networks do.

    Args:
        num_networks: networks that are trained beforehand.
        network_epochs: epochs of each.
        perturbation: the largest share of its norm by which a filter moves, along each of two random directions.
        pixel_lr: learning rate of pixels in [0, 1] at 10 images per class.
        **options: those of `IDC`.
    """

    paper = "Accelerating Dataset Distillation via Model Augmentation (CVPR 2023, arXiv 2212.06152)"
    published_steps = 50_000  # the official code's 500 networks; the paper has curves
    network_options = (*IDC.network_options, "num_networks", "network_epochs", "perturbation")

    def __init__(
        self,
        ipc: PositiveInt,
        num_networks: PositiveInt = 5,
        network_epochs: PositiveInt = 2,
        perturbation: NonNegativeFloat = 0.09,
        pixel_lr: PositiveFloat = 0.01,
        **options: Any,
    ) -> None:
        super().__init__(ipc, pixel_lr=pixel_lr, **options)
        self.num_networks, self.network_epochs, self.perturbation = num_networks, network_epochs, perturbation

    def own_networks(self) -> EarlyNetworks:
        """Return networks that begin with a few epochs and go on learning real images."""
        return EarlyNetworks(self.num_networks, self.network_epochs, self.perturbation, **self.training_options())
