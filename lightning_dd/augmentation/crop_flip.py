"""The usual augmentation of real training images: shifted crops with reflected borders, and mirroring."""

import torch
from torch import Tensor


class CropFlip:
    """A crop of the image's own size out of the image with a reflected border, mirrored with probability 0.5.

    Args:
        padding: width of the border in pixels; less on a side that has no more to reflect.
    """

    def __init__(self, padding: int = 4) -> None:
        self.padding = padding

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Return `(count, 3)` integers for as many images: shift down, shift right, whether mirrored.

        Args:
            count: number of images; a share of them takes its rows.
            generator: a CPU generator.
        """
        shifts = torch.randint(-self.padding, self.padding + 1, (count, 2), generator=generator)
        return torch.cat([shifts, torch.randint(2, (count, 1), generator=generator)], 1)

    def apply(self, draw: Tensor, images: Tensor) -> Tensor:
        """Return `(N, C, H, W)` for `(N, C, H, W)` and a draw `(N, 3)` on any device."""
        down, right, mirrored = draw.to(images.device)[..., None].unbind(1)
        rows = _reflected(down, images.shape[2])
        columns = _reflected(right, images.shape[3])
        columns = torch.where(mirrored.bool(), columns.flip(1), columns)
        images = images.gather(2, rows[:, None, :, None].expand_as(images))
        return images.gather(3, columns[:, None, None, :].expand_as(images))


def _reflected(shift: Tensor, side: int) -> Tensor:
    """Return `(N, side)` source positions for shifts `(N, 1)`; beyond an edge they go back, the edge shown once."""
    last = side - 1
    shift = shift.clamp(-last, last)
    positions = (torch.arange(side, device=shift.device) + shift).abs()
    return last - (last - positions).abs()
