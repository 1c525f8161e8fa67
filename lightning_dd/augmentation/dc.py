"""The augmentation of DC's evaluation, older than DSA: one operation an image, not differentiable."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_dd.errors import UserError

PAD = 4  # pixels, of the crop
LARGEST_ANGLE = 45  # degrees, exclusive at the upper end
NOISE = 0.001  # standard deviation, in normalised units


class DCAugmentation:
    """Augment each image by one operation drawn uniformly from a list (arXiv 2006.05929).

    Used where evaluation networks are trained under protocol `dc` on MNIST (`crop_scale_rotate`) or with batch
    normalisation (`crop_noise`); never while distilling. What an operation uncovers is filled with the mean of the
    batch's channels, except that `scale` fills with 0.

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
        """Return augmented images `(N, C, H, W)`; all draws come from the CPU generator."""
        mean = images.mean(dim=(0, 2, 3)).view(-1, 1, 1)
        chosen = torch.randint(len(self.names), (len(images),), generator=generator).tolist()
        augmented = [
            OPERATIONS[self.names[which]](image, mean, generator) for which, image in zip(chosen, images, strict=True)
        ]
        return torch.stack(augmented)


def crop(image: Tensor, mean: Tensor, generator: torch.Generator) -> Tensor:
    """Shift by up to four pixels: offsets into the padded image are 0 to 7, as in the official code."""
    _, height, width = image.shape
    page = mean.expand(-1, height + 2 * PAD, width + 2 * PAD).clone()
    page[:, PAD : PAD + height, PAD : PAD + width] = image
    top, left = torch.randint(2 * PAD, (2,), generator=generator).tolist()
    return page[:, top : top + height, left : left + width]


def scale(image: Tensor, mean: Tensor, generator: torch.Generator) -> Tensor:
    """Resize height and width independently by 0.8 to 1.2 (nearest), then pad with 0 or crop around the centre."""
    size = image.shape[1:]
    factors = 0.8 + 0.4 * torch.rand(2, generator=generator)
    new = [int(length * factor) for length, factor in zip(size, factors.tolist(), strict=True)]
    resized = F.interpolate(image[None], new, mode="nearest")[0]
    return _centre(resized, *size, torch.zeros_like(mean))


def rotate(image: Tensor, mean: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate by a whole number of degrees in [-45, 45) with cubic splines, and keep the centre."""
    from scipy import ndimage  # comes with scikit-learn; torch has no spline interpolation

    angle = int(torch.randint(-LARGEST_ANGLE, LARGEST_ANGLE, (1,), generator=generator))
    channels = [
        ndimage.rotate(channel.cpu().numpy(), angle, cval=float(fill))
        for channel, fill in zip(image, mean.flatten(), strict=True)
    ]
    rotated = torch.stack([torch.as_tensor(channel) for channel in channels]).to(image)
    return _centre(rotated, *image.shape[1:], mean)


def noise(image: Tensor, mean: Tensor, generator: torch.Generator) -> Tensor:
    """Add a little normal noise."""
    return image + NOISE * torch.randn(image.shape, generator=generator).to(image)


def _centre(image: Tensor, height: int, width: int, fill: Tensor) -> Tensor:
    """Pad what is too short and crop what is too long, both around the centre."""
    _, rows, columns = image.shape
    page = fill.expand(-1, max(height, rows), max(width, columns)).clone()
    top, left = (page.shape[1] - rows) // 2, (page.shape[2] - columns) // 2
    page[:, top : top + rows, left : left + columns] = image
    top, left = (page.shape[1] - height) // 2, (page.shape[2] - width) // 2
    return page[:, top : top + height, left : left + width]


OPERATIONS: dict[str, Callable[[Tensor, Tensor, torch.Generator], Tensor]] = {
    "crop": crop,
    "scale": scale,
    "rotate": rotate,
    "noise": noise,
}
