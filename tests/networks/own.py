"""A network as a user has it."""

from torch import nn


class Plain(nn.Module):
    """A module that knows nothing of this package."""

    def __init__(self, image_shape, num_classes, width=8):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(image_shape[0], width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Linear(4 * width, num_classes)

    def forward(self, images):
        """Return logits."""
        return self.head(self.body(images))
