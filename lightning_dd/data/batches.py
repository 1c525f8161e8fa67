"""Endless batches of real images, each sampled from `(seed, "real", iteration)` alone.

All processes sample alike and then take their shares: N processes, or a resumed run, see the images that one would.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset, Sampler

from lightning_dd.data.sampling import Batch, ClassBalanced, Sampling, Uniform
from lightning_dd.errors import UserError
from lightning_dd.rng import generator


class BatchIndices(NamedTuple):
    """The training images of one iteration's batch.

    Attributes:
        iteration: its key.
        classes: `(K,)` where the batch is class-balanced, empty otherwise.
        indices: `(K, B)` or `(B,)` positions in the training part.
    """

    iteration: int
    classes: Tensor
    indices: Tensor


class ClassTable:
    """Positions of the images of each of K classes, from labels `(N,)`."""

    def __init__(self, labels: Tensor, num_classes: int) -> None:
        self.counts = torch.bincount(labels, minlength=num_classes)
        members = labels.argsort(stable=True).split(self.counts.tolist())
        self.positions = pad_sequence(list(members), batch_first=True)  # (K, largest class)
        self.padding = torch.arange(self.positions.shape[1]) >= self.counts[:, None]

    def draw(self, per_class: int, generator: torch.Generator) -> Tensor:
        """Return `(K, B)` positions, without replacement within a class unless it has fewer images.

        B is `per_class`, or the size of the largest class if that is smaller: more would only repeat images.
        """
        per_class = min(per_class, self.positions.shape[1])
        # The images with the largest random keys are a uniform draw without replacement, for all classes at once.
        keys = torch.rand(self.positions.shape, generator=generator).masked_fill_(self.padding, -1)
        chosen = keys.topk(per_class).indices
        short = self.counts < per_class
        if short.any():
            uniform = torch.rand(len(self.counts), per_class, generator=generator, dtype=torch.float64)
            chosen = torch.where(short[:, None], (uniform * self.counts[:, None]).long(), chosen)
        return self.positions.gather(1, chosen)


class RealBatches(Sampler[BatchIndices]):
    """An endless sampler of whole batches, as a method's `sampling` asks for them.

    Args:
        labels: `(N,)` labels of the training part.
        num_classes: K.
        sampling: of the method.
        seed: of the run.
        iteration: called whenever iteration starts; returns the key of the first batch.
        rank: this process takes classes (or images of a uniform batch) `rank::world_size`.
        world_size: number of processes.

    Raises:
        UserError: if a uniform batch is larger than the training part.
    """

    def __init__(
        self,
        labels: Tensor,
        num_classes: int,
        sampling: Sampling,
        seed: int,
        iteration: Callable[[], int],
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if isinstance(sampling, Uniform) and sampling.batch_size > len(labels):
            asked = f"a batch of {sampling.batch_size} real images was asked for"
            raise UserError(f"{asked}, but the training part has {len(labels)}: lower the method's batch size")
        self.num_images, self.sampling, self.seed, self.iteration = len(labels), sampling, seed, iteration
        self.share = slice(rank, None, world_size)
        self.table = ClassTable(labels, num_classes) if isinstance(sampling, ClassBalanced) else None

    def __iter__(self) -> Iterator[BatchIndices]:
        iteration = self.iteration()
        while True:
            yield self.draw(iteration)
            iteration += 1

    def draw(self, iteration: int) -> BatchIndices:
        """Return this process's share of the draw of one iteration."""
        empty = torch.empty(0, dtype=torch.long)
        rng = generator(self.seed, "real", iteration)
        if isinstance(self.sampling, ClassBalanced):
            indices = self._of_every_class(iteration, rng)
            return BatchIndices(iteration, torch.arange(len(indices))[self.share], indices[self.share])
        if isinstance(self.sampling, Uniform):
            indices = torch.randperm(self.num_images, generator=rng)[: self.sampling.batch_size]
            return BatchIndices(iteration, empty, indices[self.share] if self.sampling.shared else indices)
        return BatchIndices(iteration, empty, empty)

    def _of_every_class(self, iteration: int, rng: torch.Generator) -> Tensor:
        rows = self.sampling.among(iteration) if self.sampling.among else None
        if rows is None:
            return self.table.draw(self.sampling.per_class, rng)
        return rows.gather(1, torch.rand(rows.shape, generator=rng).topk(self.sampling.per_class).indices)


class InMemoryImages(Dataset):
    """The training part, images `(N, C, H, W)` and labels `(N,)` on any device, indexed by whole draws."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: BatchIndices) -> Batch:
        shape = draw.indices.shape
        indices = draw.indices.flatten().to(self.images.device)
        images = self.images.index_select(0, indices).view(*shape, *self.images.shape[1:])
        labels = self.labels.index_select(0, indices).view(shape)
        return Batch(draw.iteration, draw.classes, images, labels)
