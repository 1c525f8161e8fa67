"""The ConvNet of DC, DSA, DM and MTT (arXiv 2006.05929)."""

from typing import Literal

from torch import Tensor, nn

from lightning_dd.errors import UserError
from lightning_dd.networks.base import Network
from lightning_dd.networks.pooling import AveragePool2x2

Activation = Literal["relu", "leaky_relu", "sigmoid", "swish"]
Norm = Literal["none", "instance", "batch", "layer", "group"]
Pooling = Literal["avg", "max", "none"]

_GROUPS = 4

# In-place ReLU saves one activation map a block; what precedes it (norm or convolution) does not keep its output.
_ACTIVATIONS = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(0.01, inplace=True),
    "sigmoid": nn.Sigmoid,
    "swish": nn.SiLU,
}
_POOLINGS = {"avg": AveragePool2x2, "max": lambda: nn.MaxPool2d(2)}


class ConvNet(Network):
    """Blocks of 3x3 convolution, normalisation, activation and pooling, then one linear layer.

    Args:
        image_shape: `(C, H, W)`; any size that survives `depth` halvings.
        num_classes: number of logits.
        width: channels of every block.
        depth: number of blocks.
        activation: `relu`, `leaky_relu` (slope 0.01), `sigmoid` or `swish`.
        norm: `instance` is a GroupNorm with one channel a group: no running statistics, the same in training and
            evaluation; `group` has 4 groups; `layer` normalises over `(C, H, W)`.
        pooling: 2x2 average or maximum, or none.

    Shape:
        - Input: `(N, C, H, W)`.
        - Features: `(N, width * H' * W')`, the last block's output; H' = H / 2^depth where there is pooling.
        - Output: `(N, num_classes)`.

    Raises:
        UserError: the depth does not fit the image size, or an option is not one of the above.

    Example:
        >>> import torch
        >>> ConvNet((3, 32, 32), 10).features(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 2048])
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        width: int = 128,
        depth: int = 3,
        activation: Activation = "relu",
        norm: Norm = "instance",
        pooling: Pooling = "avg",
    ) -> None:
        super().__init__()
        _check_choice("activation", activation, tuple(_ACTIVATIONS))
        _check_choice("norm", norm, ("none", "instance", "batch", "layer", "group"))
        _check_choice("pooling", pooling, (*_POOLINGS, "none"))
        if norm == "group" and width % _GROUPS:
            raise UserError(f"Group normalisation needs a width divisible by {_GROUPS}, but the width is {width}.")
        channels, *size = image_shape
        # The published network pads MNIST's 28x28 to 32x32. Its code does so for every one-channel image, which is
        # not the published size elsewhere.
        padding = 3 if tuple(image_shape) == (1, 28, 28) else 1
        size = [side + 2 * (padding - 1) for side in size]
        _check_depth(depth, size, pooling)

        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=padding)]
            layers += _normalization(norm, width, size)
            layers += [_ACTIVATIONS[activation]()]
            if pooling != "none":
                layers += [_POOLINGS[pooling]()]
                size = [side // 2 for side in size]
            channels, padding = width, 1
        self.blocks = nn.Sequential(*layers)
        self.classifier = nn.Linear(width * size[0] * size[1], num_classes)
        self._variant = _differences(width=width, depth=depth, activation=activation, norm=norm, pooling=pooling)

    @property
    def description(self) -> str:
        """The class's name, and in brackets what differs from the published network."""
        return f"ConvNet ({self._variant})" if self._variant else "ConvNet"

    def features(self, x: Tensor) -> Tensor:
        """Return the flattened output of the last block, `(N, width * H' * W')`."""
        return self.blocks(x).flatten(1)


def _differences(**options: object) -> str:
    defaults = {"width": 128, "depth": 3, "activation": "relu", "norm": "instance", "pooling": "avg"}
    return ", ".join(f"{name} {value}" for name, value in options.items() if value != defaults[name])


def _normalization(norm: Norm, width: int, size: list[int]) -> list[nn.Module]:
    match norm:
        case "instance":
            return [nn.GroupNorm(width, width)]
        case "group":
            return [nn.GroupNorm(_GROUPS, width)]
        case "batch":
            return [nn.BatchNorm2d(width)]
        case "layer":
            return [nn.LayerNorm([width, *size])]
        case _:
            return []


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UserError(f'The ConvNet\'s {option} "{value}" is not one of {", ".join(choices)}.')


def _check_depth(depth: int, size: list[int], pooling: Pooling) -> None:
    if depth < 1:
        raise UserError(f"A ConvNet needs a depth of at least 1, but the depth is {depth}.")
    # a side of length L survives floor(log2(L)) halvings
    largest = min(size).bit_length() - 1
    if pooling != "none" and depth > largest:
        height, width = size
        raise UserError(
            f"A ConvNet of depth {depth} halves {height}x{width} maps to nothing: the largest depth that fits is "
            f"{largest}."
        )
