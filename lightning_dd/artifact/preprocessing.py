"""From pixels to the space in which networks are trained, and back.

Both transforms live beside the artefact, which must be readable with torch and safetensors alone.
"""

import torch
from torch import Tensor


def as_unit_floats(images: Tensor) -> Tensor:
    """Return images as float32 in [0, 1] pixel units; uint8 is divided by 255, floats are taken as they are."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


class Normalization:
    """Per-channel `(x - mean) / std` on images in [0, 1] pixel units.

    Args:
        mean: one number a channel, in pixel units.
        std: one positive number a channel, in pixel units.
    """

    kind = "normalization"

    def __init__(self, mean: list[float], std: list[float]) -> None:
        self.mean = [float(m) for m in mean]
        self.std = [float(s) for s in std]
        self._tensors: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def __call__(self, images: Tensor) -> Tensor:
        """Map `(..., C, H, W)` uint8 or float images to the normalised space."""
        floats = as_unit_floats(images)
        mean, std = self._constants(floats)
        # in place from the first copy on: a step's real images may take gigabytes
        return (floats.sub_(mean) if floats is not images else floats - mean).div_(std)

    def inverse(self, images: Tensor) -> Tensor:
        """Map normalised images `(..., C, H, W)` back to [0, 1] pixel units, without clipping."""
        mean, std = self._constants(images)
        return images * std + mean

    def _constants(self, images: Tensor) -> tuple[Tensor, Tensor]:
        place = images.device, images.dtype
        if place not in self._tensors:  # kept, so that nothing travels to the device at each step
            with torch.inference_mode(False):  # what is kept must serve gradients too
                self._tensors[place] = tuple(images.new_tensor(v).view(-1, 1, 1) for v in (self.mean, self.std))
        return self._tensors[place]


class Whitening:
    """ZCA whitening `((x - mean) / std - center) @ matrix`, with its inverse.

    The channel normalisation comes first and is the identity (mean 0, std 1) in MTT's recipe.

    Args:
        normalization: what happens before whitening.
        center: `(D,)` mean of the normalised training images, D = C*H*W.
        matrix: `(D, D)` symmetric whitening matrix.
        inverse_matrix: `(D, D)` its inverse.
    """

    kind = "whitening"

    def __init__(self, normalization: Normalization, center: Tensor, matrix: Tensor, inverse_matrix: Tensor) -> None:
        self.normalization = normalization
        self.center = center
        self.matrix = matrix
        self.inverse_matrix = inverse_matrix

    def to(self, device: torch.device | str) -> "Whitening":
        """Return the same transform with its matrices on another device."""
        parts = (t.to(device) for t in (self.center, self.matrix, self.inverse_matrix))
        return Whitening(self.normalization, *parts)

    def __call__(self, images: Tensor) -> Tensor:
        """Map `(..., C, H, W)` uint8 or float images to the whitened space."""
        flat = self.normalization(images).flatten(-3)
        return ((flat - self.center) @ self.matrix).view(images.shape)

    def inverse(self, images: Tensor) -> Tensor:
        """Map whitened images `(..., C, H, W)` back to [0, 1] pixel units, without clipping."""
        flat = images.flatten(-3) @ self.inverse_matrix + self.center
        return self.normalization.inverse(flat.view(images.shape))


Preprocessing = Normalization | Whitening
