"""The network of FRePo (arXiv 2206.00719)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_dd.networks.base import Network
from lightning_dd.networks.options import Norm, check_depth, differences, norm_layers, padded, usual_depth
from lightning_dd.networks.pooling import AveragePool2x2
from lightning_dd.runtime.options import PositiveInt

_BATCH_NORM_MOMENTUM = 0.9  # of the new statistics: Flax's 0.1 is the share of the old ones
_TRUNCATED_STD = 0.87962566103423978  # of a standard normal truncated at two standard deviations


class FRePoNet(Network):
    """Blocks of normalization, 3x3 convolution, ReLU and average pooling, twice as wide each time; one linear layer.

    There is no normalization of the image and none after the last block. The paper distills with BatchNorm, in Flax's
    form, and evaluates without any (`norm: none`). Weights are initialized as in Flax: LeCun normal, truncated at two
    standard deviations, biases 0. MNIST's images are padded to 32x32.

    Args:
        width: channels of the first block.
        depth: number of blocks; None takes 3 up to 32 pixels a side and 4 at 64, as the paper, and so on.
        norm: between two blocks.

    Shape:
        - Input: `(N, C, H, W)` of any size that survives `depth` halvings.
        - Features: `(N, width * 2^(depth - 1) * H' * W')`, the last pooling's output, H' = H / 2^depth.
        - Output: `(N, num_classes)`.

    Raises:
        UserError: the depth does not fit the image size, or there is no such normalization.

    Example:
        >>> import torch
        >>> FRePoNet((3, 32, 32), 10).features(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 8192])
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        width: PositiveInt = 128,
        depth: PositiveInt | None = None,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        channels, (extra, size) = image_shape[0], padded(image_shape)
        depth = usual_depth(image_shape) if depth is None else depth
        check_depth("FRePoNet", depth, size)
        layers: list[nn.Module] = []
        for block in range(depth):
            if block and norm == "batch":
                layers += [_FlaxBatchNorm2d(channels, momentum=_BATCH_NORM_MOMENTUM)]
            elif block:
                layers += norm_layers(norm, channels)
            wide = width * 2**block
            padding = 1 if block else 1 + extra
            layers += [nn.Conv2d(channels, wide, 3, padding=padding), nn.ReLU(inplace=True), AveragePool2x2()]
            channels = wide
        self.blocks = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels * (size[0] >> depth) * (size[1] >> depth), num_classes)
        self.variant = differences(FRePoNet, width=width, depth=None if depth == 3 else depth, norm=norm)

    def draw_layer(self, layer: nn.Module, generator: torch.Generator) -> None:
        """Initialize weights from LeCun's truncated normal; biases are 0."""
        std = 1 / math.sqrt(layer.weight[0].numel()) / _TRUNCATED_STD
        nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std, generator=generator)
        layer.bias.zero_()


class _FlaxBatchNorm2d(nn.BatchNorm2d):
    """Batch normalization whose running variance averages biased variances, where PyTorch's averages unbiased ones.

    Features are taken under running statistics: at 20 images the difference changes their gradient by 0.3 %.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return `(N, C, H, W)` for `(N, C, H, W)`."""
        if not self.training:
            return super().forward(x)
        unbiased = self.running_var.clone()  # what autograd saves must not change afterwards
        x_hat = F.batch_norm(x, self.running_mean, unbiased, self.weight, self.bias, True, self.momentum, self.eps)
        of_before = self.running_var * (1 - self.momentum)
        self.running_var.copy_(unbiased.lerp(of_before, x.shape[1] / x.numel()))  # the new part, times (n - 1) / n
        self.num_batches_tracked.add_(1)
        return x_hat
