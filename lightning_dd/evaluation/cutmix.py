"""Evaluation of IDC and of methods after it: a chain of operations, CutMix, several drops of the learning rate."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.augmentation.cutmix import mix_some
from lightning_dd.evaluation.protocol import Protocol
from lightning_dd.training.data import NOT_MIRRORED
from lightning_dd.training.loop import Augmentation, mini_batches


@dataclass(frozen=True)
class CutMixProtocol(Protocol):
    """Each mini-batch goes through a chain of operations, parameters per image, and some are mixed by CutMix.

    Attributes:
        drops: shares of the epochs after which the learning rate falls.
        drop: the factor by which it falls each time.
        mixed: the probability that a mini-batch is mixed.
        unmixed: data sets where none is, as published for tiles; whole images of MNIST are mixed, of SVHN at 1 not.
        adam: whether AdamW trains, with PyTorch's weight decay, in place of SGD.
    """

    drops: tuple[float, ...] = (2 / 3, 5 / 6)
    drop: float = 0.2
    mixed: float = 0.5
    unmixed: tuple[str, ...] = ()
    adam: bool = False
    augmentation: str | None = "dsa_color+flip+crop_color+flip+scale_color+flip+rotate"
    batch_size: int = 64

    def for_data(self, data: str, network: nn.Module | None) -> "CutMixProtocol":
        """Return the protocol for a data set: digits are not mirrored, and some sets not mixed."""
        mixed = 0.0 if data in self.unmixed else self.mixed
        flipped = self.augmentation if data not in NOT_MIRRORED else self.augmentation.replace("+flip", "")
        return replace(self, augmentation=flipped, mixed=mixed)

    def augment(self, strategy: str | None) -> Augmentation | None:
        """Return the protocol's augmentation, whatever operations the set was distilled with."""
        return super().augment(None)

    def batches(
        self,
        images: Tensor,
        labels: Tensor,
        rows: Iterable[Tensor],
        distilled: DistilledDataset,
        augment: Augmentation | None,
        generator: torch.Generator,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield mini-batches, of which some are mixed; see `Protocol.batches`."""
        plain = mini_batches(images, labels, rows, augment, generator)
        mixed = 0.0 if augment is None else self.mixed  # mixing is augmentation too
        return mix_some(plain, mixed, distilled.num_classes, generator)

    @property
    def total_epochs(self) -> int:
        """Epochs that are run: E."""
        return self.epochs

    def lr_factor(self, step: int, num_images: int) -> float:
        """Return the factor of the learning rate at a step."""
        done = step // self.steps_per_epoch(num_images) / self.epochs
        return self.drop ** sum(done >= share for share in self.drops)

    def resets_optimizer(self, step: int, num_images: int) -> bool:
        """Return whether the optimizer's state is cleared before a step: never."""
        return False

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return a fresh optimizer for a network."""
        return torch.optim.AdamW(network.parameters(), self.learning_rate) if self.adam else super().optimizer(network)
