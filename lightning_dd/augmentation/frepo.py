"""The augmentation of FRePo's evaluation (arXiv 2206.00719): one operation a mini-batch, parameters for each image."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_dd.errors import UserError

LARGEST_COLOR = 0.25  # of the shift of brightness, and of the logarithm of contrast and saturation
LARGEST_ZOOM = 1.25
LARGEST_ANGLE = math.radians(15)
LARGEST_SHIFT = 0.125  # of the image's side
CUTOUT_SIDE = 0.25  # of the image's side


class FRePoAugmentation:
    """Augment a mini-batch by one operation sampled uniformly from a list.

    Geometric operations sample bilinearly and repeat the border. Used by protocol `frepo`; never while distilling.

    Args:
        strategy: names out of flip, color, crop, rotate, translate and cutout, joined by `_`.

    Raises:
        UserError: a name is unknown.
    """

    def __init__(self, strategy: str) -> None:
        self.names = strategy.split("_")
        unknown = [name for name in self.names if name not in OPERATIONS]
        if unknown:
            raise UserError(f"The frepo augmentation has no operation '{unknown[0]}'; it has {', '.join(OPERATIONS)}.")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return augmented images `(N, C, H, W)`; the generator is on the CPU."""
        name = self.names[int(torch.randint(len(self.names), (), generator=generator))]
        uniforms = torch.rand(3, len(images), generator=generator).to(images)
        return OPERATIONS[name](images, uniforms)


# Each takes images (N, C, H, W) and three uniform numbers in [0, 1) for each, (3, N).


def flip(images: Tensor, uniforms: Tensor) -> Tensor:
    """Mirror with probability 1/2."""
    return torch.where(_each(uniforms[0]) < 0.5, images.flip(-1), images)


def color(images: Tensor, uniforms: Tensor) -> Tensor:
    """Shift brightness, then scale contrast about the image's mean, then saturation about each pixel's."""
    brightness, contrast, saturation = (_each(LARGEST_COLOR * (2 * u - 1)) for u in uniforms)
    images = images + brightness
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + contrast.exp() * (images - mean)
    mean = images.mean(1, keepdim=True)
    return mean + saturation.exp() * (images - mean)


def crop(images: Tensor, uniforms: Tensor) -> Tensor:
    """Zoom by 0.8 to 1.25 (log-uniform), and shift by up to half of what the zoom adds or leaves, in zoomed pixels."""
    zoom = (math.log(LARGEST_ZOOM) * (2 * uniforms[0] - 1)).exp()
    reach = [(size * zoom - size).abs() / 2 for size in images.shape[-2:]]
    shifts = [(2 * u - 1) * largest for u, largest in zip(uniforms[1:], reach, strict=True)]
    zero = torch.zeros_like(zoom)
    return _warp(images, 1 / zoom, zero, shifts[1] / zoom, shifts[0] / zoom)


def rotate(images: Tensor, uniforms: Tensor) -> Tensor:
    """Rotate by up to 15 degrees about the center."""
    angle = LARGEST_ANGLE * (2 * uniforms[0] - 1)
    zero = torch.zeros_like(angle)
    return _warp(images, angle.cos(), angle.sin(), zero, zero)


def translate(images: Tensor, uniforms: Tensor) -> Tensor:
    """Shift by up to an eighth of each side, not by whole pixels."""
    dy, dx = ((2 * u - 1) * LARGEST_SHIFT * size for u, size in zip(uniforms[:2], images.shape[-2:], strict=True))
    return _warp(images, torch.ones_like(dx), torch.zeros_like(dx), dx, dy)


def cutout(images: Tensor, uniforms: Tensor) -> Tensor:
    """Set a square of a quarter of the side, which lies wholly inside, to 0."""
    covered = []
    for u, size in zip(uniforms[:2], images.shape[-2:], strict=True):
        side = int(CUTOUT_SIDE * size)
        start = (u * (size - side + 1)).floor()[:, None]
        positions = torch.arange(size, device=images.device)
        covered.append((positions >= start) & (positions < start + side))
    rows, columns = covered
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)


OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    operation.__name__: operation for operation in (flip, color, crop, rotate, translate, cutout)
}


def _each(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def _warp(images: Tensor, a: Tensor, b: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
    """Sample at `[[a, -b], [b, a]] p + (dx, dy)` for each pixel p about the center (numbers `(N,)`, in pixels)."""
    height, width = images.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=images.device) - (height - 1) / 2,
        torch.arange(width, device=images.device) - (width - 1) / 2,
        indexing="ij",
    )
    a, b, dx, dy = (values.view(-1, 1, 1) for values in (a, b, dx, dy))
    source = [a * x - b * y + dx, b * x + a * y + dy]
    # grid_sample wants -1 and 1 at the centers of the outermost pixels
    halves = [max(side - 1, 1) / 2 for side in (width, height)]
    grid = torch.stack([place / half for place, half in zip(source, halves, strict=True)], -1).to(images)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=True)
