"""A distilled set in a plain Lightning training: `python tools/examples/plain.py RUN`.

The training knows nothing of distillation: the set is a torch data set of (normalized image, class index).
Few images take many epochs and small random shifts.
"""

import sys

import lightning as L
import torch
import torchvision
from torch import nn

import lightning_dd as dd


class Classifier(L.LightningModule):
    """A small network, and how it learns."""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        (channels, height, width), norm = image_shape, nn.GroupNorm(64, 64)
        layers = [nn.Conv2d(channels, 64, 3, padding=1), norm, nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()]
        self.network = nn.Sequential(*layers, nn.Linear(64 * (height // 2) * (width // 2), num_classes))
        self.shift = torchvision.transforms.RandomCrop((height, width), padding=1, padding_mode="edge")

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        """Return the loss of a batch."""
        return nn.functional.cross_entropy(self.network(self.shift(batch[0])), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), 1e-3)


if __name__ == "__main__":
    distilled = dd.load(sys.argv[1])
    loader = torch.utils.data.DataLoader(distilled, batch_size=256, shuffle=True)
    L.Trainer(max_epochs=200, logger=False).fit(Classifier(distilled.image_shape, distilled.num_classes), loader)
