"""Random images of a data set's shape: what they show does not matter to a clock."""

from argparse import Namespace

import torch
from torch import Tensor

from lightning_dd.data import ImageData
from lightning_dd.rng import generator


class RandomImages(ImageData):
    """Uniform uint8 noise; both parts are the same images. What networks learn from it is not kept.

    Args:
        count: how many images, the classes taking turns.
        options: shape, classes, seed.
    """

    def __init__(self, count: int, options: Namespace) -> None:
        self.name = "random_images"
        self.num_classes = options.classes
        self.image_shape = options.shape
        self.class_names = tuple(map(str, range(options.classes)))
        super().__init__(cache=False)
        draw = generator(options.seed, "random images")
        self._images = torch.randint(256, (count, *options.shape), dtype=torch.uint8, generator=draw)
        self._labels = torch.arange(count) % options.classes

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Return images `(N, C, H, W)` and labels `(N,)`."""
        return self._images, self._labels
