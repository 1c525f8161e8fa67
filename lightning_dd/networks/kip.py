"""The finite network on which KIP's images are evaluated (arXiv 2107.13034)."""

import math

import torch
from torch import Tensor, nn

from lightning_dd.networks.base import Network
from lightning_dd.networks.options import check_depth, differences
from lightning_dd.networks.pooling import AveragePool2x2
from lightning_dd.runtime.options import PositiveInt

_WEIGHT_STD, _BIAS_STD = math.sqrt(2), 0.1


class KIPConvNet(Network):
    """A 3x3 convolution with ReLU, then blocks of 3x3 convolution, ReLU and average pooling, then one linear layer.

    Without normalisation. Weights start normal with variance 2 / fan_in, biases with standard deviation 0.1 (the
    standard parametrisation). Images are never padded to another size.

    Args:
        image_shape: `(C, H, W)`; any size that survives `depth` halvings.
        num_classes: number of logits.
        width: channels of every convolution.
        depth: number of blocks with pooling.
        prepend: whether the first convolution, without pooling, is there (the paper's `ConvNet`; without it
            `ConvNet3`).

    Shape:
        - Input: `(N, C, H, W)`.
        - Features: `(N, width * H' * W')`, the last pooling's output, H' = H / 2^depth.
        - Output: `(N, num_classes)`.

    Raises:
        UserError: the depth does not fit the image size.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        width: PositiveInt = 1024,
        depth: PositiveInt = 3,
        prepend: bool = True,
    ) -> None:
        super().__init__()
        channels, *size = image_shape
        check_depth("KIPConvNet", depth, size)
        layers: list[nn.Module] = []
        for pooling in [[]] * prepend + [[AveragePool2x2()]] * depth:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True), *pooling]
            channels = width
        self.blocks = nn.Sequential(*layers)
        self.classifier = nn.Linear(width * (size[0] >> depth) * (size[1] >> depth), num_classes)
        self.variant = differences(KIPConvNet, width=width, depth=depth, prepend=prepend)

    def features(self, x: Tensor) -> Tensor:
        """Return the flattened output of the last pooling, `(N, width * H' * W')`."""
        return self.blocks(x).flatten(1)

    def draw_layer(self, layer: nn.Module, generator: torch.Generator) -> None:
        """Draw weights and biases from normal distributions."""
        layer.weight.normal_(std=_WEIGHT_STD / math.sqrt(layer.weight[0].numel()), generator=generator)
        layer.bias.normal_(std=_BIAS_STD, generator=generator)
