"""The two networks of Dataset Distillation (arXiv 1811.10959).

Maximum pooling precedes ReLU here, not follows it: the same values and gradients at a quarter of the work.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_dd.errors import UserError
from lightning_dd.networks.base import Network


class _XavierNetwork(Network):
    """A network whose weights start Xavier-normal with gain 1, and biases at 0."""

    def draw_layer(self, layer: nn.Module, generator: torch.Generator) -> None:
        """Initialize a layer in place."""
        nn.init.xavier_normal_(layer.weight, generator=generator)
        nn.init.zeros_(layer.bias)


class DDLeNet(_XavierNetwork):
    """LeNet as DD has it: 61,706 parameters for ten classes of 28x28 gray images, which are padded to 32x32.

    Shape:
        - Input: `(N, C, H, W)`, 16x16 or larger.
        - Features: `(N, 84)`.
        - Output: `(N, num_classes)`.

    Raises:
        UserError: the images are too small.
    """

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        channels, *size = image_shape
        padding = 2 if size == [28, 28] else 0
        height, width = (((side + 2 * padding - 4) // 2 - 4) // 2 for side in size)
        if min(height, width) < 1:
            raise UserError(f"DDLeNet takes images of at least 16x16, not {size[0]}x{size[1]}; use ConvNet.")
        self.blocks = nn.Sequential(
            nn.Conv2d(channels, 6, 5, padding=padding),
            nn.MaxPool2d(2),
            nn.ReLU(inplace=True),
            nn.Conv2d(6, 16, 5),
            nn.MaxPool2d(2),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(16 * height * width, 120),
            nn.ReLU(inplace=True),
            nn.Linear(120, 84),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Linear(84, num_classes)


class AlexCifarNet(_XavierNetwork):
    """DD's network for CIFAR-10: 1,756,426 parameters for ten classes of 32x32 color images.

    Shape:
        - Input: `(N, C, H, W)`.
        - Features: `(N, 192)`.
        - Output: `(N, num_classes)`.
    """

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        channels, *size = image_shape
        height, width = ((side + 3) // 4 for side in size)  # each pooling leaves half of a side, rounded up
        self.blocks = nn.Sequential(
            nn.Conv2d(channels, 64, 5, padding=2),
            nn.MaxPool2d(3, 2, 1),
            nn.ReLU(inplace=True),
            LocalResponseNorm(),
            nn.Conv2d(64, 64, 5, padding=2),
            nn.ReLU(inplace=True),
            LocalResponseNorm(),
            nn.MaxPool2d(3, 2, 1),
            nn.Flatten(),
            nn.Linear(64 * height * width, 384),
            nn.ReLU(inplace=True),
            nn.Linear(384, 192),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Linear(192, num_classes)


class LocalResponseNorm(nn.Module):
    """`nn.LocalResponseNorm(4, alpha=0.001 / 9, beta=0.75, k=1)`: `x (1 + alpha / 4 * sum of 4 squares) ** -0.75`.

    The library's three-dimensional pooling and general power are slow on a CPU, forwards and twice backwards; three
    additions and two roots give the same.
    """

    size, alpha = 4, 0.001 / 9

    def forward(self, x: Tensor) -> Tensor:
        """Return `(N, C, H, W)` for `(N, C, H, W)`."""
        channels = x.shape[1]
        # the window of channel c reaches from c - 2 to c + 1
        squares = F.pad(x.square(), (0, 0, 0, 0, self.size // 2, (self.size - 1) // 2))
        pairs = squares[:, :-1] + squares[:, 1:]
        total = pairs[:, :channels] + pairs[:, 2:]
        base = total * (self.alpha / self.size) + 1
        return x * (base * base.sqrt()).rsqrt()
