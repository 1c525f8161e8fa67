"""IDC: match gradients of convolutions under networks that learn real images, for images stored as tiles."""

from dataclasses import replace
from math import ceil
from typing import Any, Literal

import torch
from torch import Tensor

from lightning_dd.artifact.codecs import CodecFactory, Tiles
from lightning_dd.artifact.synthetic import SyntheticSet
from lightning_dd.augmentation.dsa import CHAIN
from lightning_dd.errors import OptionError
from lightning_dd.methods.dc import DC
from lightning_dd.methods.pixels import clamp_stored, pixel_bounds, pixel_std
from lightning_dd.methods.preparation import Init
from lightning_dd.networks.build import sample
from lightning_dd.rng import generator
from lightning_dd.runtime.options import Momentum, NonNegativeFloat, PositiveFloat, PositiveInt, UnitInterval
from lightning_dd.training.sources import SourceContext, TrainedNetworks

PIXEL_LR_IPC = 10
"""Images per class for which the published learning rates are."""


class IDC(DC):
    """Dataset Condensation via Efficient Synthetic-Data Parameterization (Kim et al., ICML 2022, arXiv 2205.14959).

    As `DC`, with more images in the same budget (`Tiles`), the gradients of convolutions alone, all of a class's images
    under one augmentation, and networks that learn real images rather than synthetic ones between two steps. Factor 1
    of the tiles is the paper's IDC-I, 3 its choice for large images.

    It departs from the official code in this: all classes make one step together, which is a step for each class with
    a momentum of its own (but see `coupled_momentum`); tiles start as means of areas; one learning rate serves all
    channels, which are divided by different deviations. As there, stored images are clamped to pixel values in [0, 1]
    whenever a network begins its life, but not where they are whitened or stored as frequencies.

    Args:
        real_per_class: real images of each class in a step.
        synthetic_per_class: decoded images of each class in a step, chosen at random where there are more.
        distance: of the gradients of convolutions: `conv_mse`, squared, or `conv_l1`, absolute differences, which the
            paper has for digits and clothes, at a rate of 0.0001.
        augmentation: DSA operations; the official code applies color, crop and cutout one after another, also in the
            networks' training, there without cutout where CutMix takes its place.
        outer_loops: updates of the images per network.
        n_data: real images on which a network is trained after an update, in whole mini-batches.
        inner_epochs: passes over them.
        batch_size: images in a mini-batch of that training.
        lr_network: learning rate of that training (SGD).
        momentum_network: momentum of that training.
        weight_decay_network: weight decay of that training.
        cutmix: the probability that a mini-batch of that training is mixed by CutMix.
        codec: the paper stores four images in one.
        init: how the images start.
        pixel_lr: learning rate of pixels in [0, 1] at 10 images per class, in proportion to which it grows; the
            authors multiply it by the ratio of areas too, to 32x32 pixels (28x28 of MNIST, 224x224 of ImageNet).
        lr: learning rate of the stored images; None takes what `pixel_lr` is in their space.
        coupled_momentum: the official code makes a step for each class, in which all images go on by their momentum.
            An image then sees a momentum that fell K times, and moves that much further, before its next gradient.
        **options: those of `DC`.

    Raises:
        OptionError: the network has no convolutions.
    """

    paper = "Dataset Condensation via Efficient Synthetic-Data Parameterization (ICML 2022, arXiv 2205.14959)"
    published_steps = 200_000  # 2,000 networks
    protocol = "idc"
    network_options = (*DC.network_options, "n_data", "momentum_network", "weight_decay_network", "cutmix")

    def __init__(
        self,
        ipc: PositiveInt,
        real_per_class: PositiveInt = 64,
        synthetic_per_class: PositiveInt = 128,
        distance: Literal["conv_mse", "conv_l1"] = "conv_mse",
        augmentation: str | None = CHAIN,
        outer_loops: PositiveInt = 100,
        n_data: PositiveInt = 2000,
        inner_epochs: PositiveInt = 1,
        batch_size: PositiveInt = 64,
        momentum_network: Momentum = 0.9,
        weight_decay_network: NonNegativeFloat = 5e-4,
        cutmix: UnitInterval = 0.5,
        codec: CodecFactory = Tiles,
        init: Init = "real",
        pixel_lr: PositiveFloat = 0.005,
        lr: PositiveFloat | None = None,
        coupled_momentum: bool = False,
        **options: Any,
    ) -> None:
        loops = {"outer_loops": outer_loops, "inner_epochs": inner_epochs, "batch_size": batch_size}
        shared = {"real_per_class": real_per_class, "augmentation": augmentation, "codec": codec, "init": init}
        super().__init__(ipc, distance=distance, lr=lr or 1.0, **loops, **shared, **options)
        self.synthetic_per_class, self.n_data, self.cutmix = synthetic_per_class, n_data, cutmix
        self.momentum_network, self.weight_decay_network = momentum_network, weight_decay_network
        self.pixel_lr, self._given_lr, self.coupled_momentum = pixel_lr, lr, coupled_momentum

    def own_networks(self) -> TrainedNetworks:
        """Return networks that are trained on real images between updates of the synthetic ones."""
        return TrainedNetworks(**self.training_options())

    def training_options(self) -> dict[str, Any]:
        """Return how networks are trained on real images, as options of `TrainedNetworks`."""
        whole = ceil(self.n_data / self.batch_size) * self.batch_size
        optimizer = {"momentum": self.momentum_network, "weight_decay": self.weight_decay_network}
        loops = {"lifetime": self.outer_loops, "epochs": self.inner_epochs, "batch_size": self.batch_size}
        images = {"on": "real", "real_images": whole, "cutmix": self.cutmix}
        return {"lr": self.lr_network, **loops, **images, **optimizer}

    def source_context(self, **run: Any) -> SourceContext:
        """Return the context of networks, whose training has no cutout beside CutMix."""
        context = super().source_context(**run)
        if self.augmentation is None or not getattr(self.networks, "cutmix", 0):
            return context
        return replace(context, augment=self.augmentation.without("cutout"))

    def setup(self, stage: str) -> None:
        """Prepare, and find the learning rate and the bounds of pixels."""
        weights = sample(self.network, self.image_shape, self.num_classes).parameters()
        if not any(weight.ndim > 2 for weight in weights):
            raise OptionError("network", "has no convolutions, whose gradients IDC matches")
        super().setup(stage)
        preprocessing = self.trainer.datamodule.preprocessing
        published = self.pixel_lr * self.ipc / PIXEL_LR_IPC / pixel_std(preprocessing) ** 2
        self.lr = self._given_lr or published
        self._bounds = pixel_bounds(preprocessing, self.synthetic.codec)

    def build_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return SGD, with what a step for each class makes of the momentum."""
        if not self.coupled_momentum:
            return super().build_optimizer(groups)
        left = self.momentum**self.num_classes  # of the momentum, at the next gradient of the same class
        return torch.optim.SGD(groups, self.lr * (1 - left) / (1 - self.momentum), momentum=left)

    def images_to_match(self, synthetic: SyntheticSet, classes: Tensor) -> Tensor:
        """Return the decoded images `(K, n, C, H, W)` of some classes: a random part where there are many."""
        count = synthetic.images_per_class
        if count <= self.synthetic_per_class:
            return super().images_to_match(synthetic, classes)
        draws = generator(self.seed, "synthetic batch", self.iteration)
        chosen = torch.rand(self.num_classes, count, generator=draws).topk(self.synthetic_per_class).indices[classes]
        rows = (classes[:, None] * count + chosen).flatten()
        return synthetic.images(rows.to(self.device)).unflatten(0, (len(classes), -1))

    def after_update(self) -> None:
        """Keep pixel values in [0, 1] when the next network begins its life."""
        if (self.iteration + 1) % getattr(self.networks, "lifetime", self.outer_loops) == 0:
            clamp_stored(self.synthetic.codec, self._bounds)
