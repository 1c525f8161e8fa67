"""The synthetic set S: a codec's images and their labels."""

import torch
from torch import Tensor, nn

from lightning_dd.artifact.codecs import Codec
from lightning_dd.artifact.labels import Labels


class SyntheticSet(nn.Module):
    """Synthetic images and their labels; rows count the decoded images, class-major."""

    def __init__(self, codec: Codec, labels: Labels) -> None:
        super().__init__()
        self.codec, self.labels = codec, labels

    def __len__(self) -> int:
        return len(self.codec)

    @property
    def images_per_class(self) -> int:
        """Decoded images of each class."""
        return self.codec.images_per_class

    @property
    def classes(self) -> Tensor:
        """The class of each decoded image, `(N,)`."""
        return torch.arange(len(self) // self.images_per_class).repeat_interleave(self.images_per_class)

    def images(self, rows: Tensor | None = None) -> Tensor:
        """Return decoded images `(n, C, H, W)`, differentiable in what is stored; all without `rows`."""
        return self.codec.decode(rows)

    def targets(self, rows: Tensor | None = None) -> Tensor:
        """Return class indices `(n,)`, or probabilities or regression targets `(n, num_classes)`, to train on."""
        values = self.labels(rows)
        return values.softmax(1) if self.labels.kind == "logits" else values

    def of_classes(self, classes: Tensor) -> Tensor:
        """Return the decoded images `(K, n, C, H, W)` of classes `(K,)`, indices on the CPU."""
        return self.images().unflatten(0, (-1, self.images_per_class))[classes]
