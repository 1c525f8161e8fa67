"""AlexNet and VGG11 for small images, as in DC's and MTT's cross-architecture tables (arXiv 2006.05929, 2203.11932)."""

from collections.abc import Iterable

from torch import nn

from lightning_dd.networks.base import Network
from lightning_dd.networks.options import Norm, check_side, differences, norm_layers, padded


class ConvolutionStack(Network):
    """Convolutions with normalization (if any) and ReLU, some of them followed by pooling; one linear layer.

    MNIST's images are padded to 32x32. At sides that are no multiples of the pooling's, it keeps the rest.
    """

    stack: tuple[tuple[int, int, bool], ...]
    """Channels and kernel of each convolution, and whether pooling halves the maps after it."""
    smallest: int
    """Side of an image whose last normalized maps have 2x2 pixels."""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, norm: Norm = "instance") -> None:
        super().__init__()
        name = type(self).__name__
        check_side(name, image_shape, self.smallest)
        channels, (extra, size) = image_shape[0], padded(image_shape)
        layers: list[nn.Module] = []
        for width, kernel, halves in self.stack:
            layers += [nn.Conv2d(channels, width, kernel, padding=kernel // 2 + extra)]
            layers += [*norm_layers(norm, width), nn.ReLU(inplace=True)]
            if halves:
                layers += [nn.MaxPool2d(2, ceil_mode=True)]
                size = [(side + 1) // 2 for side in size]
            channels, extra = width, 0
        self.convolutions = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels * size[0] * size[1], num_classes)
        self.variant = differences(type(self), norm=norm)

    def trunk(self) -> Iterable[nn.Module]:
        """Return the modules that lead to the features, in order."""
        return self.convolutions


class AlexNet(ConvolutionStack):
    """Five convolutions, three of them followed by pooling; one linear layer.

    The published network has no normalization; with `batch` it is the literature's AlexNetBN, with `instance` its
    AlexNet-IN. MNIST's images are padded to 32x32.

    Args:
        norm: before each ReLU.

    Shape:
        - Input: `(N, C, H, W)`, 5x5 or larger.
        - Features: `(N, 192 * H' * W')`, the last pooling's output, H' = ceil(H / 8).
        - Output: `(N, num_classes)`.

    Raises:
        UserError: the images are too small, or there is no such normalization.
    """

    stack = ((128, 5, True), (192, 5, True), (256, 3, False), (192, 3, False), (192, 3, True))
    smallest = 5

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, norm: Norm = "none") -> None:
        super().__init__(image_shape, num_classes, norm)


class VGG11(ConvolutionStack):
    """Eight 3x3 convolutions, five of them followed by pooling; one linear layer.

    MNIST's images are padded to 32x32.

    Args:
        norm: before each ReLU: `instance`, the plain name in the literature; `batch` is its VGG11BN.

    Shape:
        - Input: `(N, C, H, W)`, 17x17 or larger.
        - Features: `(N, 512 * H' * W')`, the last pooling's output, H' = ceil(H / 32).
        - Output: `(N, num_classes)`.

    Raises:
        UserError: the images are too small, or there is no such normalization.
    """

    stack = (
        *((64, 3, True), (128, 3, True), (256, 3, False), (256, 3, True)),
        *((512, 3, False), (512, 3, True), (512, 3, False), (512, 3, True)),
    )
    smallest = 17
