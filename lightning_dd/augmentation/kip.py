"""The augmentation of KIP's targets (arXiv 2107.13034): all operations on each image, in one warp.

The released notebook does not say how large its operations are; the magnitudes here are recalled from the paper.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_dd.errors import UserError

LARGEST_ANGLE = math.radians(10)
LARGEST_SHIFT = 0.1  # of the image's side
LARGEST_CHANNEL_SHIFT = 0.1  # in normalised units, the same for all channels of an image
OPERATIONS = ("rotate", "shift", "flip", "channel")
NUM_UNIFORMS = 5


class KIPAugmentation:
    """Rotate, shift and mirror each image and shift its brightness, repeating the border.

    Args:
        strategy: names out of rotate, shift, flip and channel, joined by `_`.

    Raises:
        UserError: a name is unknown.
    """

    def __init__(self, strategy: str) -> None:
        self.names = set(strategy.split("_"))
        unknown = sorted(self.names - set(OPERATIONS))
        if unknown:
            raise UserError(f"KIP's augmentation has no operation '{unknown[0]}'; it has {', '.join(OPERATIONS)}.")

    def __call__(self, images: Tensor, uniforms: Tensor) -> Tensor:
        """Return augmented images.

        Args:
            images: `(N, C, H, W)`.
            uniforms: `(N, 5)` numbers in [0, 1).
        """
        angle, down, right, mirror, brightness = (2 * uniforms.to(images) - 1).unbind(1)
        nothing = torch.zeros_like(angle)
        angle = LARGEST_ANGLE * angle if "rotate" in self.names else nothing
        down, right = (LARGEST_SHIFT * x if "shift" in self.names else nothing for x in (down, right))
        sign = torch.where(mirror < 0, -1.0, 1.0).to(images) if "flip" in self.names else nothing + 1
        if len(images) and self.names & {"rotate", "shift", "flip"}:
            images = _warp(images, angle, down, right, sign)
        if "channel" in self.names:
            images = images + LARGEST_CHANNEL_SHIFT * brightness.view(-1, 1, 1, 1)
        return images


def _warp(images: Tensor, angle: Tensor, down: Tensor, right: Tensor, sign: Tensor) -> Tensor:
    """Rotate about the centre in pixels, shift by shares of the sides and mirror: numbers `(N,)`."""
    height, width = images.shape[-2:]
    # affine_grid counts each side from -1 to 1, whatever its length
    aspect = (height - 1) / max(1, width - 1)
    cos, sin = angle.cos(), angle.sin()
    shifts = [2 * shift * side / max(1, side - 1) for shift, side in ((right, width), (down, height))]
    rows = torch.stack([sign * cos, -sin * aspect, shifts[0]], 1), torch.stack([sign * sin / aspect, cos, shifts[1]], 1)
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=True)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=True)
