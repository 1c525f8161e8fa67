"""Parts that the families share: normalization by name, padding, checks of options and sizes, names of variants."""

import inspect
import math
from typing import Literal

from torch import nn

from lightning_dd.errors import UserError

Norm = Literal["none", "instance", "batch"]

MNIST_SHAPE = (1, 28, 28)
"""The published networks pad this shape to 32x32 in their first convolution."""


def padded(image_shape: tuple[int, int, int]) -> tuple[int, list[int]]:
    """Return the first convolution's extra padding in pixels, and the padded image's `[H, W]`."""
    extra = 2 if tuple(image_shape) == MNIST_SHAPE else 0
    return extra, [side + 2 * extra for side in image_shape[1:]]


def usual_depth(image_shape: tuple[int, int, int]) -> int:
    """Return the literature's number of blocks: 3 up to 32 pixels a side, then one more each time the side doubles."""
    return max(3, round(math.log2(min(image_shape[1:]))) - 2)


def norm_layers(norm: str, channels: int) -> list[nn.Module]:
    """Return the normalization of `(N, channels, H, W)` maps as a list of modules, empty for `none`.

    `instance` is a GroupNorm with one channel a group: no running statistics, the same in training and evaluation.
    """
    if norm == "none":
        return []
    return [nn.GroupNorm(channels, channels) if norm == "instance" else nn.BatchNorm2d(channels)]


def differences(network: type[nn.Module], **options: object) -> str:
    """Return the options that differ from the defaults of a network's constructor, for `Network.variant`."""
    defaults = inspect.signature(network).parameters
    return ", ".join(f"{name} {value}" for name, value in options.items() if value != defaults[name].default)


def check_side(network: str, image_shape: tuple[int, int, int], smallest: int) -> None:
    """Raise a `UserError` where a side is shorter than the smallest that leaves the network something to normalize."""
    _, height, width = image_shape
    if min(height, width) < smallest:
        raise UserError(f"{network} needs images of at least {smallest}x{smallest} pixels, not {height}x{width}.")


def check_depth(network: str, depth: int, size: list[int]) -> None:
    """Raise a `UserError` where so many blocks, each halving maps of a size `[H, W]`, would leave nothing."""
    largest = min(size).bit_length() - 1  # a side of length L survives floor(log2(L)) halvings
    if depth > largest:
        height, width = size
        raise UserError(
            f"A {network} of depth {depth} halves {height}x{width} maps to nothing: the largest depth that fits is "
            f"{largest}."
        )
