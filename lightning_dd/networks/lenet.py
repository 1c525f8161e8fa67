"""LeNet, as DC's cross-architecture tables have it (arXiv 2006.05929)."""

from collections.abc import Iterable

from torch import nn

from lightning_dd.networks.base import Network
from lightning_dd.networks.options import check_side, padded


class LeNet(Network):
    """Two 5x5 convolutions with ReLU and 2x2 maximum pooling, two hidden linear layers of 120 and 84 units, one more.

    Without normalization. MNIST's images are padded to 32x32.

    Shape:
        - Input: `(N, C, H, W)`, 16x16 or larger.
        - Features: `(N, 84)`, the second hidden layer.
        - Output: `(N, num_classes)`.

    Raises:
        UserError: the images are too small.
    """

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        check_side("LeNet", image_shape, 16)
        padding, size = padded(image_shape)
        self.convolutions = nn.Sequential(
            nn.Conv2d(image_shape[0], 6, 5, padding=padding),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )
        height, width = (((side - 4) // 2 - 4) // 2 for side in size)
        self.hidden = nn.Sequential(
            nn.Linear(16 * height * width, 120),
            nn.ReLU(inplace=True),
            nn.Linear(120, 84),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Linear(84, num_classes)

    def trunk(self) -> Iterable[nn.Module]:
        """Return the modules that lead to the features, in order."""
        return [*self.convolutions, nn.Flatten(), *self.hidden]
