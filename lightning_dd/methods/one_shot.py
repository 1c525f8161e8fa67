"""The base of methods that make their images at once, without a gradient."""

import torch
from torch import Tensor

from lightning_dd.artifact.codecs import CodecFactory, Pixels
from lightning_dd.data.sampling import Batch
from lightning_dd.methods.base import Distiller
from lightning_dd.methods.preparation import Init
from lightning_dd.networks import ConvNet, NetworkFactory
from lightning_dd.runtime.options import PositiveInt
from lightning_dd.training.sources import NoNetworks


class OneShot(Distiller):
    """A method that solves instead of stepping: a subclass writes `make`. The run's one step changes nothing.

    Args:
        ipc: images per class: what is stored.
        network: the network that looks at the images; the evaluation takes it too, unless it is told otherwise.
        codec: how the images are stored: `Pixels`, `Tiles` or `Frequencies`.
        init: which images are chosen; see `Distiller`.
        repeat_images: use images of a class more than once where it has too few.
        augmentation: DSA operations of the evaluations that augment, joined by `_`; digits leave out `flip`.
        feature_epochs: passes over the training set in which that network is trained; it is kept on disk.
        num_classes: number of classes (linked to the data on the command line).
        image_shape: `(C, H, W)` (linked to the data on the command line).
        class_names: names in the order of the class indices (linked to the data on the command line).
        seed: every random draw is keyed with it (linked to `seed_everything` on the command line).
    """

    published_steps = 1
    needs = NoNetworks.gives

    def __init__(
        self,
        ipc: PositiveInt,
        network: NetworkFactory = ConvNet,
        codec: CodecFactory = Pixels,
        init: Init = "real",
        repeat_images: bool = False,
        augmentation: str | None = "color_crop_cutout_flip_scale_rotate",
        feature_epochs: PositiveInt = 10,
        num_classes: int = 10,
        image_shape: tuple[int, int, int] = (3, 32, 32),
        class_names: tuple[str, ...] = (),
        seed: int = 0,
    ) -> None:
        super().__init__(
            ipc,
            network,
            codec,
            None,
            init,
            repeat_images,
            augmentation,
            feature_epochs=feature_epochs,
            num_classes=num_classes,
            image_shape=image_shape,
            class_names=class_names,
            seed=seed,
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
