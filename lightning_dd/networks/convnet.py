"""The ConvNet of DC, DSA, DM and MTT (arXiv 2006.05929)."""

from typing import Literal

from torch import Tensor, nn

from lightning_dd.errors import UserError
from lightning_dd.networks.base import Network
from lightning_dd.networks.options import MNIST_SHAPE, check_choice, check_depth, differences, norm_layers
from lightning_dd.networks.pooling import AveragePool2x2
from lightning_dd.runtime.options import PositiveInt

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
        width: PositiveInt = 128,
        depth: PositiveInt = 3,
        activation: Activation = "relu",
        norm: Norm = "instance",
        pooling: Pooling = "avg",
    ) -> None:
        super().__init__()
        check_choice("ConvNet", "activation", activation, tuple(_ACTIVATIONS))
        check_choice("ConvNet", "norm", norm, ("none", "instance", "batch", "layer", "group"))
        check_choice("ConvNet", "pooling", pooling, (*_POOLINGS, "none"))
        if norm == "group" and width % _GROUPS:
            raise UserError(f"Group normalisation needs a width divisible by {_GROUPS}, but the width is {width}.")
        channels, *size = image_shape
        padding = 3 if tuple(image_shape) == MNIST_SHAPE else 1
        size = [side + 2 * (padding - 1) for side in size]
        check_depth("ConvNet", depth, size, halves=pooling != "none")

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
        self.variant = differences(ConvNet, width=width, depth=depth, activation=activation, norm=norm, pooling=pooling)

    def features(self, x: Tensor) -> Tensor:
        """Return the flattened output of the last block, `(N, width * H' * W')`."""
        return self.blocks(x).flatten(1)


def _normalization(norm: Norm, width: int, size: list[int]) -> list[nn.Module]:
    match norm:
        case "group":
            return [nn.GroupNorm(_GROUPS, width)]
        case "layer":
            return [nn.LayerNorm([width, *size])]
        case _:
            return norm_layers(norm, width)
