"""What the families share: normalisation by name, options and sizes that are refused, and how a variant is called."""

import inspect
from typing import Literal, get_args

from torch import nn

from lightning_dd.errors import UserError

Norm = Literal["none", "instance", "batch"]

MNIST_SHAPE = (1, 28, 28)
"""The published networks pad this shape to 32x32 in their first convolution. Their code does so for every one-channel
image, which is not the published size elsewhere."""


def norm_layers(norm: str, channels: int) -> list[nn.Module]:
    """Return the normalisation of `(N, channels, H, W)` maps, as a list to be put into a sequence.

    Args:
        norm: `instance` is a GroupNorm with one channel a group: no running statistics, the same in training and
            evaluation; `batch` is BatchNorm; `none` is nothing.
        channels: of the maps.
    """
    match norm:
        case "instance":
            return [nn.GroupNorm(channels, channels)]
        case "batch":
            return [nn.BatchNorm2d(channels)]
        case _:
            return []


def differences(network: type[nn.Module], **options: object) -> str:
    """Return the options that differ from the defaults of a network's constructor, for its description."""
    defaults = inspect.signature(network).parameters
    return ", ".join(f"{name} {value}" for name, value in options.items() if value != defaults[name].default)


def check_choice(network: str, option: str, value: str, choices: tuple[str, ...] = get_args(Norm)) -> None:
    """Refuse an option that is none of the choices.

    Raises:
        UserError: it is none of them.
    """
    if value not in choices:
        raise UserError(f'The {network}\'s {option} "{value}" is not one of {", ".join(choices)}.')


def check_side(network: str, image_shape: tuple[int, int, int], smallest: int) -> None:
    """Refuse images of which a network would leave nothing, or only maps of one pixel to normalise.

    Raises:
        UserError: a side is shorter than the smallest that fits.
    """
    _, height, width = image_shape
    if min(height, width) < smallest:
        raise UserError(f"{network} needs images of at least {smallest}x{smallest} pixels, not {height}x{width}.")


def check_depth(network: str, depth: int, size: list[int], halves: bool = True) -> None:
    """Refuse a number of blocks that does not fit the size of the maps.

    Args:
        network: its name.
        depth: number of blocks.
        size: of the first block's maps.
        halves: whether each block halves the maps.

    Raises:
        UserError: there are so many blocks that nothing would be left.
    """
    article = "An" if network[0] in "AEIOU" else "A"
    # a side of length L survives floor(log2(L)) halvings
    largest = min(size).bit_length() - 1
    if halves and depth > largest:
        height, width = size
        raise UserError(
            f"{article} {network} of depth {depth} halves {height}x{width} maps to nothing: the largest depth that "
            f"fits is {largest}."
        )
