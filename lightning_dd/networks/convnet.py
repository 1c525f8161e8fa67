"""The ConvNet of DC, DSA, DM and MTT (arXiv 2006.05929)."""

from typing import Literal

from torch import nn

from lightning_dd.errors import UserError
from lightning_dd.networks.base import Network
from lightning_dd.networks.options import check_depth, differences, norm_layers, padded, usual_depth
from lightning_dd.networks.pooling import AveragePool2x2
from lightning_dd.runtime.options import PositiveInt

Activation = Literal["relu", "leaky_relu", "sigmoid", "swish"]
Norm = Literal["none", "instance", "batch", "layer", "group"]
Pooling = Literal["avg", "max", "none"]

_GROUPS = 4

# In-place ReLU saves one activation map a block; the norm or convolution before it does not keep its output.
_ACTIVATIONS = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(0.01, inplace=True),
    "sigmoid": nn.Sigmoid,
    "swish": nn.SiLU,
}
_POOLINGS = {"avg": AveragePool2x2, "max": lambda: nn.MaxPool2d(2)}


class ConvNet(Network):
    """Blocks of 3x3 convolution, normalization, activation and pooling, then one linear layer.

    Args:
        width: channels of every block.
        depth: number of blocks; None takes 3 up to 32 pixels a side, 4 at 64, 5 at 128 and so on, as papers do.
        activation: after each normalization; `leaky_relu` has slope 0.01.
        norm: `instance` is a GroupNorm with one channel a group: no running statistics, the same in training and
            evaluation; `group` has 4 groups; `layer` normalizes over `(C, H, W)`.
        pooling: 2x2 average or maximum, or none.

    Shape:
        - Input: `(N, C, H, W)` of any size that survives `depth` halvings.
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
        width: PositiveInt = 128,
        depth: PositiveInt | None = None,
        activation: Activation = "relu",
        norm: Norm = "instance",
        pooling: Pooling = "avg",
    ) -> None:
        super().__init__()
        if norm == "group" and width % _GROUPS:
            raise UserError(f"Group normalization needs a width divisible by {_GROUPS}, but the width is {width}.")
        channels, (extra, size) = image_shape[0], padded(image_shape)
        depth = usual_depth(image_shape) if depth is None else depth
        if pooling != "none":
            check_depth("ConvNet", depth, size)
        layers: list[nn.Module] = []
        for block in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1 if block else 1 + extra)]
            layers += _normalization(norm, width, size)
            layers += [_ACTIVATIONS[activation]()]
            if pooling != "none":
                layers += [_POOLINGS[pooling]()]
                size = [side // 2 for side in size]
            channels = width
        self.blocks = nn.Sequential(*layers)
        self.classifier = nn.Linear(width * size[0] * size[1], num_classes)
        self.variant = differences(
            ConvNet, width=width, depth=None if depth == 3 else depth, activation=activation, norm=norm, pooling=pooling
        )


def _normalization(norm: Norm, width: int, size: list[int]) -> list[nn.Module]:
    if norm == "group":
        return [nn.GroupNorm(_GROUPS, width)]
    return [nn.LayerNorm([width, *size])] if norm == "layer" else norm_layers(norm, width)
