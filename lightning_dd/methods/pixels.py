"""Published settings in units of pixels in [0, 1], for images that are learned in a normalized space."""

import torch
from torch import Tensor

from lightning_dd.artifact.codecs import Codec, Pixels, Tiles
from lightning_dd.artifact.preprocessing import Preprocessing


def pixel_std(preprocessing: Preprocessing) -> float:
    """Return by what pixels are divided, a mean over channels; 1 where they are whitened.

    SGD at the learning rate `lr / std²` in normalized space makes the step that `lr` makes in pixel units.
    """
    return 1.0 if preprocessing.kind == "whitening" else sum(preprocessing.std) / len(preprocessing.std)


def pixel_bounds(preprocessing: Preprocessing, codec: Codec) -> tuple[Tensor, Tensor] | None:
    """Return what pixel values 0 and 1 are in the space of the stored images, each `(1, C, 1, 1)`.

    None where stored values are no pixels: whitened ones, frequencies.
    """
    if preprocessing.kind == "whitening" or not isinstance(codec, Pixels | Tiles):
        return None
    ends = torch.arange(2.0).view(2, 1, 1, 1).expand(2, codec.image_shape[0], 1, 1)
    return preprocessing(ends).split(1)


@torch.no_grad()
def clamp_stored(codec: Codec, bounds: tuple[Tensor, Tensor] | None) -> None:
    """Keep the stored images within bounds, in place; without bounds they stay as they are."""
    if bounds is not None:
        torch.clamp(codec.images, *(bound.to(codec.images) for bound in bounds), out=codec.images)
