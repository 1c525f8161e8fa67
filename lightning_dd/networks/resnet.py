"""ResNet18 for small images, and its average-pooling variant (arXiv 2006.05929, 2203.11932)."""

from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_dd.networks.base import Network
from lightning_dd.networks.options import Norm, check_side, differences, norm_layers
from lightning_dd.networks.pooling import AveragePool2x2

_STAGES = ((64, False), (128, True), (256, True), (512, True))
"""Channels of each stage's two blocks, and whether the first of them halves the maps."""


class ResNet18(Network):
    """A 3x3 convolution, four stages of two residual blocks, the mean over pixels, one linear layer.

    Args:
        norm: after every convolution; `instance` is the plain name in the literature, `batch` its ResNet18BN.

    Shape:
        - Input: `(N, C, H, W)`, 9x9 or larger.
        - Features: `(N, 512)`; the published pooling of 4x4 pixels is this mean at 28 and 32 pixels a side.
        - Output: `(N, num_classes)`.

    Raises:
        UserError: the images are too small, or there is no such normalization.
    """

    pools = False
    smallest = 9  # the last maps that are normalized then have 2x2 pixels

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, norm: Norm = "instance") -> None:
        super().__init__()
        name = type(self).__name__
        check_side(name, image_shape, self.smallest)
        self.stem = nn.Sequential(
            nn.Conv2d(image_shape[0], 64, 3, padding=1, bias=False), *norm_layers(norm, 64), nn.ReLU(inplace=True)
        )
        blocks, channels = [], 64
        for width, halves in _STAGES:
            blocks += [ResidualBlock(channels, width, norm, halves, self.pools)]
            blocks += [ResidualBlock(width, width, norm, halves=False)]
            channels = width
        self.blocks = nn.Sequential(*blocks)
        pixels = (image_shape[1] // 8) * (image_shape[2] // 8) if self.pools else 1
        self.classifier = nn.Linear(512 * pixels, num_classes)
        self.variant = differences(ResNet18, norm=norm)

    def trunk(self) -> Iterable[nn.Module]:
        """Return the modules that lead to the features, in order."""
        return [*self.stem, *self.blocks]

    def flatten(self, maps: Tensor) -> Tensor:
        """Return the maps' mean over pixels, `(N, 512)`."""
        return maps.mean((2, 3))


class ResNet18_AP(ResNet18):  # noqa: N801 (the literature's name)
    """ResNet18 that halves maps by 2x2 average pooling in place of strides, without pooling at the end.

    Args:
        norm: after every convolution; `instance` is the plain name in the literature, `batch` its ResNet18BN_AP.

    Shape:
        - Input: `(N, C, H, W)`, 16x16 or larger.
        - Features: `(N, 512 * H' * W')`, the flattened last maps, H' = H // 8.
        - Output: `(N, num_classes)`.
    """

    pools = True
    smallest = 16

    def flatten(self, maps: Tensor) -> Tensor:
        """Return the maps as vectors, `(N, 512 * H' * W')`."""
        return maps.flatten(1)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes.

    Args:
        channels: of the input.
        width: channels of the output.
        norm: after every convolution.
        halves: whether the output has half the height and width.
        pools: halve by average pooling, after the first ReLU and before the shortcut's normalization, not by strides.
    """

    def __init__(self, channels: int, width: int, norm: Norm, halves: bool, pools: bool = False) -> None:
        super().__init__()
        stride = 2 if halves and not pools else 1
        pooling = [AveragePool2x2()] if halves and pools else []
        self.residual = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride, padding=1, bias=False),
            *norm_layers(norm, width),
            nn.ReLU(inplace=True),
            *pooling,
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            *norm_layers(norm, width),
        )
        self.shortcut = nn.Sequential()
        if halves or channels != width:
            projection = nn.Conv2d(channels, width, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, *pooling, *norm_layers(norm, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return `(N, width, H', W')` for `(N, channels, H, W)`."""
        return F.relu(self.residual(x) + self.shortcut(x), inplace=True)
