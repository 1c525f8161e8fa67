"""The augmentation of DC's evaluation, older than DSA: one operation an image, not differentiable."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_dd.errors import UserError

PAD = 4  # pixels, of the crop
LARGEST_ANGLE = 45  # degrees, exclusive at the upper end
NOISE = 0.001  # standard deviation, in normalized units


class DCAugmentation:
    """Augment each image by one operation sampled uniformly from a list (arXiv 2006.05929).

    Used by protocol `dc` on MNIST (`crop_scale_rotate`) or with batch normalization (`crop_noise`); never while
    distilling. Uncovered pixels get the batch's channel means, or 0 by `scale`.

    Args:
        strategy: names out of crop, scale, rotate and noise, joined by `_`.

    Raises:
        UserError: a name is unknown.
    """

    def __init__(self, strategy: str) -> None:
        self.names = strategy.split("_")
        unknown = [name for name in self.names if name not in OPERATIONS]
        if unknown:
            raise UserError(f"The dc augmentation has no operation '{unknown[0]}'; it has {', '.join(OPERATIONS)}.")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return augmented images `(N, C, H, W)`; the generator is on the CPU."""
        mean = images.mean(dim=(0, 2, 3)).view(-1, 1, 1)
        chosen = torch.randint(len(self.names), (len(images),), generator=generator).tolist()
        operations = [OPERATIONS[self.names[which]] for which in chosen]
        return torch.stack([apply(image, mean, generator) for apply, image in zip(operations, images, strict=True)])


def crop(image: Tensor, mean: Tensor, generator: torch.Generator) -> Tensor:
    """Shift by up to four pixels: offsets into the padded image are 0 to 7, as in the official code."""
    _, height, width = image.shape
    page = mean.expand(-1, height + 2 * PAD, width + 2 * PAD).clone()
    page[:, PAD : PAD + height, PAD : PAD + width] = image
    top, left = torch.randint(2 * PAD, (2,), generator=generator).tolist()
    return page[:, top : top + height, left : left + width]


def scale(image: Tensor, mean: Tensor, generator: torch.Generator) -> Tensor:
    """Resize height and width independently by 0.8 to 1.2 (nearest), then pad with 0 or crop around the center.

    As in the official code, the resized image lies on a square page as long as the longest side, before or after.
    """
    size = image.shape[1:]
    factors = 0.8 + 0.4 * torch.rand(2, generator=generator)
    new = [int(length * factor) for length, factor in zip(size, factors.tolist(), strict=True)]
    resized = F.interpolate(image[None], new, mode="nearest")[0]
    side = max(*size, *new)
    return _center(resized, *size, torch.zeros_like(mean), (side, side))


def rotate(image: Tensor, mean: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate by a whole number of degrees in [-45, 45) with cubic splines, and keep the center."""
    from scipy import ndimage  # comes with scikit-learn; torch has no spline interpolation

    angle = int(torch.randint(-LARGEST_ANGLE, LARGEST_ANGLE, (1,), generator=generator))
    channels = [
        ndimage.rotate(channel.cpu().numpy(), angle, cval=float(fill))
        for channel, fill in zip(image, mean.flatten(), strict=True)
    ]
    rotated = torch.stack([torch.as_tensor(channel) for channel in channels]).to(image)
    height, width = image.shape[1:]
    return _center(rotated, height, width, mean, (max(height, rotated.shape[1]), max(width, rotated.shape[2])))


def noise(image: Tensor, mean: Tensor, generator: torch.Generator) -> Tensor:
    """Add a little normal noise."""
    return image + NOISE * torch.randn(image.shape, generator=generator).to(image)


def _center(image: Tensor, height: int, width: int, fill: Tensor, size: tuple[int, int]) -> Tensor:
    """Put an image in the middle of a page, and cut what is asked for from its middle; halves are rounded down."""
    page = fill.expand(-1, *size).clone()
    _, rows, columns = image.shape
    top, left = (size[0] - rows) // 2, (size[1] - columns) // 2
    page[:, top : top + rows, left : left + columns] = image
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return page[:, top : top + height, left : left + width]


Operation = Callable[[Tensor, Tensor, torch.Generator], Tensor]
OPERATIONS: dict[str, Operation] = {operation.__name__: operation for operation in (crop, scale, rotate, noise)}
