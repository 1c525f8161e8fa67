"""VGG11 for small images, as DC's and MTT's cross-architecture tables have it (arXiv 2006.05929, 2203.11932)."""

from collections.abc import Iterable

from torch import nn

from lightning_dd.networks.base import Network
from lightning_dd.networks.options import Norm, check_choice, check_side, differences, norm_layers, padded

_SMALLEST = 17  # the last maps that are normalised then have 2x2 pixels
_STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))
"""Channels of the convolutions between two poolings."""


class VGG11(Network):
    """Eight 3x3 convolutions with normalization and ReLU, in five stages that end in pooling; one linear layer.

    MNIST's images are padded to 32x32; at sides that are no multiples of 32 the pooling keeps the rest.

    Args:
        norm: `instance`, the plain name in the literature; `batch` is its VGG11BN.

    Shape:
        - Input: `(N, C, H, W)`, 17x17 or larger.
        - Features: `(N, 512 * H' * W')`, the last pooling's output, H' = ceil(H / 32).
        - Output: `(N, num_classes)`.

    Raises:
        UserError: the images are too small, or there is no such normalization.
    """

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, norm: Norm = "instance") -> None:
        super().__init__()
        check_choice("VGG11", "norm", norm)
        check_side("VGG11", image_shape, _SMALLEST)
        channels, (extra, size) = image_shape[0], padded(image_shape)
        layers: list[nn.Module] = []
        for stage in _STAGES:
            for width in stage:
                layers += [nn.Conv2d(channels, width, 3, padding=1 + extra)]
                layers += [*norm_layers(norm, width), nn.ReLU(inplace=True)]
                channels, extra = width, 0
            layers += [nn.MaxPool2d(2, ceil_mode=True)]
            size = [(side + 1) // 2 for side in size]
        self.convolutions = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels * size[0] * size[1], num_classes)
        self.variant = differences(VGG11, norm=norm)

    def trunk(self) -> Iterable[nn.Module]:
        """Return the modules that lead to the features, in order."""
        return self.convolutions
