"""AlexNet for small images, as DC's and MTT's cross-architecture tables have it (arXiv 2006.05929, 2203.11932)."""

from collections.abc import Iterable

from torch import nn

from lightning_dd.networks.base import Network
from lightning_dd.networks.options import Norm, check_choice, check_side, differences, norm_layers, padded

_SMALLEST = 5  # the last maps that are normalised then have 2x2 pixels
_LAYERS = ((128, 5, True), (192, 5, True), (256, 3, False), (192, 3, False), (192, 3, True))
"""Channels and kernel of each convolution, and whether the maps are halved after it."""


class AlexNet(Network):
    """Five convolutions, each followed by normalization (if any) and ReLU, three of them by pooling; one linear layer.

    The published network has no normalization; with `batch` it is the literature's AlexNetBN, with `instance` its
    AlexNet-IN. MNIST's images are padded to 32x32; at sides that are no multiples of 8 the pooling keeps the rest.

    Args:
        norm: before each ReLU.

    Shape:
        - Input: `(N, C, H, W)`, 5x5 or larger.
        - Features: `(N, 192 * H' * W')`, the last pooling's output, H' = ceil(H / 8).
        - Output: `(N, num_classes)`.

    Raises:
        UserError: the images are too small, or there is no such normalization.
    """

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, norm: Norm = "none") -> None:
        super().__init__()
        check_choice("AlexNet", "norm", norm)
        check_side("AlexNet", image_shape, _SMALLEST)
        channels, (extra, size) = image_shape[0], padded(image_shape)
        layers: list[nn.Module] = []
        for index, (width, kernel, halves) in enumerate(_LAYERS):
            layers += [nn.Conv2d(channels, width, kernel, padding=kernel // 2 + (0 if index else extra))]
            layers += [*norm_layers(norm, width), nn.ReLU(inplace=True)]
            if halves:
                layers += [nn.MaxPool2d(2, ceil_mode=True)]
                size = [(side + 1) // 2 for side in size]
            channels = width
        self.convolutions = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels * size[0] * size[1], num_classes)
        self.variant = differences(AlexNet, norm=norm)

    def trunk(self) -> Iterable[nn.Module]:
        """Return the modules that lead to the features, in order."""
        return self.convolutions
