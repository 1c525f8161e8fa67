"""The 8x8 handwritten digits that come with scikit-learn: for the quick start, with nothing to download."""

import torch
from torch import Tensor

from lightning_dd.data import catalog
from lightning_dd.data.module import ImageData
from lightning_dd.data.splits import TEST_FRACTION, part_rows


class Digits(ImageData):
    """1,797 gray 8x8 images of ten digits; a fifth of each class, always the same, is the test part.

    Args: those of `ImageData`; `root` and `cache` are not used.

    Example:
        >>> data = Digits()
        >>> data.setup()
        >>> data.train_images.shape, data.num_classes
        (torch.Size([1438, 1, 8, 8]), 10)
    """

    facts = catalog.DIGITS

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Return the images and labels of the "train" or the "test" part."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        labels = torch.from_numpy(bunch.target).long()
        # Sixteen gray levels become 0 to 255.
        images = torch.from_numpy(bunch.images).mul(255 / 16).round().to(torch.uint8).unsqueeze(1)
        chosen = part_rows(labels, split, TEST_FRACTION, "digits test part")
        return images[chosen], labels[chosen]
