"""The multilayer perceptron of DC's cross-architecture tables (arXiv 2006.05929)."""

import math
from collections.abc import Iterable

from torch import nn

from lightning_dd.networks.base import Network
from lightning_dd.networks.options import differences
from lightning_dd.runtime.options import PositiveInt


class MLP(Network):
    """Two hidden layers with ReLU on the flattened image, then one linear layer.

    Args:
        width: units of each hidden layer.

    Shape:
        - Input: `(N, C, H, W)`.
        - Features: `(N, width)`, the second hidden layer.
        - Output: `(N, num_classes)`.
    """

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, width: PositiveInt = 128) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(image_shape), width),
            nn.ReLU(inplace=True),
            nn.Linear(width, width),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Linear(width, num_classes)
        self.variant = differences(MLP, width=width)

    def trunk(self) -> Iterable[nn.Module]:
        """Return the modules that lead to the features, in order."""
        return self.hidden
