"""Coresets as a method: real images, chosen once and left as they are."""

from typing import Any

from torch import Tensor

from lightning_dd.coresets import Selection
from lightning_dd.coresets.classes import check_sizes
from lightning_dd.data.sampling import Batch
from lightning_dd.methods.base import Distiller
from lightning_dd.networks import ConvNet, NetworkFactory


class Coreset(Distiller):
    """The baselines of the dataset distillation papers: real training images chosen by a rule.

    The rules are `random`; `herding` (arXiv 1611.07725), `k_center` (arXiv 1708.00489) and `k_means` in the feature
    space of a network trained on the whole training set; and `forgetting` (arXiv 1812.05159), which counts how often
    that network forgot an image while it was trained. Papers do not publish how they trained that network; ours is
    described in `lightning_dd.training.features`. The run has one step, in which nothing changes.

    Args:
        ipc: images per class.
        selection: the rule.
        network: the feature network; the evaluation takes it too, unless it is told otherwise.
        feature_epochs: passes over the training set in which the feature network is trained; it is kept on disk.
        repeat_images: use images of a class more than once where it has fewer than `ipc`.
        augmentation: DSA operations of the evaluations that augment, joined by `_`; digits leave out `flip`.
        num_classes: number of classes (linked to the data on the command line).
        image_shape: `(C, H, W)` (linked to the data on the command line).
        class_names: names in the order of the class indices (linked to the data on the command line).
        seed: every random draw is keyed with it (linked to `seed_everything` on the command line).

    Raises:
        UserError: an option is out of its range.
    """

    paper = "Coreset of real images, as a baseline of Dataset Condensation (ICLR 2021, arXiv 2006.05929)"
    published_steps = 1
    protocol = "dc"
    memory_option = "--model.network.width"

    def __init__(
        self,
        ipc: int,
        selection: Selection = "random",
        network: NetworkFactory = ConvNet,
        feature_epochs: int = 10,
        repeat_images: bool = False,
        augmentation: str | None = "color_crop_cutout_flip_scale_rotate",
        num_classes: int = 10,
        image_shape: tuple[int, int, int] = (3, 32, 32),
        class_names: tuple[str, ...] = (),
        seed: int = 0,
    ) -> None:
        super().__init__(
            ipc,
            network=network,
            init="real" if selection == "random" else selection,
            repeat_images=repeat_images,
            augmentation=augmentation,
            feature_epochs=feature_epochs,
            num_classes=num_classes,
            image_shape=image_shape,
            class_names=class_names,
            seed=seed,
        )
        self.selection = selection

    @property
    def sampling(self) -> None:
        """No real images: the one step does nothing."""
        return None

    def initial_images(self) -> Tensor:
        """Return the chosen images, `(num_classes * ipc, C, H, W)`.

        Raises:
            UserError: a class has fewer than `ipc` images and they may not be repeated.
        """
        data = self.trainer.datamodule
        check_sizes(data.train_labels, self.num_classes, self.ipc, data.class_names, self.repeat_images, noise=False)
        return super().initial_images()

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """Count a step; without a gradient the optimizer leaves the images as they are."""
        self.optimizers().step()
        self.iteration += 1

    def identity(self) -> dict[str, Any]:
        """Return what must agree between a checkpoint and a run."""
        return {**super().identity(), "selection": self.selection}
