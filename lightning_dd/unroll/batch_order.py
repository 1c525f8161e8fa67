"""The synthetic images of each inner step, and the inner steps that are differentiated."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lightning_dd.errors import OptionError, check_number
from lightning_dd.rng import generator


@dataclass(frozen=True)
class Schedule:
    """T inner steps, each on a class-balanced mini-batch, and the window of W of them that is differentiated.

    Attributes:
        num_classes: K.
        ipc: images of each class; the set is class-major.
        steps: T.
        per_class: images of each class in a mini-batch.
        shuffle: sample the mini-batches for every iteration (arXiv 2311.07025) instead of cycling through them in one
            order (arXiv 1811.10959).
        classes: with `shuffle`, how many random classes a mini-batch has; None for all.
        window: W; None for all steps.
        where: the window's place: sampled once for a pass over the real images or for each step, or at the end.
        seed: of the draws.

    Raises:
        OptionError: a number is out of its range, or does not go with another.
    """

    num_classes: int
    ipc: int
    steps: int
    per_class: int = 1
    shuffle: bool = False
    classes: int | None = None
    window: int | None = None
    where: Literal["pass", "step", "end"] = "pass"
    seed: int = 0

    def __post_init__(self) -> None:
        check_number("unroll", self.steps)
        check_number("images_per_step", self.per_class, self.ipc)
        check_number("classes_per_step", self.classes, self.num_classes)
        check_number("window", self.window, self.steps)
        if self.classes is not None and not self.shuffle:
            raise OptionError("classes_per_step", "samples classes at random; set {shuffle} true as well")

    def order(self, iteration: int, purpose: str = "order") -> Tensor:
        """Return the rows of each step's images, `(T, B)`, on the CPU; the purpose is the key of the draw.

        Example:
            >>> Schedule(num_classes=2, ipc=3, steps=4).order(0)
            tensor([[0, 3],
                    [1, 4],
                    [2, 5],
                    [0, 3]])
        """
        first_of_class = torch.arange(self.num_classes).view(1, -1, 1) * self.ipc
        if not self.shuffle:
            turns = torch.arange(self.steps * self.per_class).view(self.steps, 1, self.per_class) % self.ipc
            return (first_of_class + turns).flatten(1)
        # the largest of random keys are a draw without replacement, for all steps and classes at once
        draw = generator(self.seed, purpose, iteration)
        keys = torch.rand(self.steps, self.num_classes, self.ipc, generator=draw)
        rows = first_of_class + keys.topk(self.per_class, dim=2).indices
        if self.classes is not None:
            chosen = torch.rand(self.steps, self.num_classes, generator=draw).topk(self.classes, dim=1).indices
            rows = rows.gather(1, chosen[..., None].expand(-1, -1, self.per_class))
        return rows.flatten(1)

    def differentiated(self, iteration: int, steps_per_pass: int) -> range:
        """Return the steps of the window, which ends the training; a pass over the real images has some iterations."""
        if self.window is None:
            return range(self.steps)
        first = self.steps - self.window
        if self.where != "end":
            key = iteration if self.where == "step" else iteration // steps_per_pass
            first = torch.randint(first + 1, (), generator=generator(self.seed, "window", key)).item()
        return range(first, first + self.window)


def permuted_chunks(images: int, batch: int, steps: int, generator: torch.Generator) -> list[Tensor]:
    """Return the rows of each step: chunks of a random permutation of all rows, and of another when it is used up.

    Chunks are taken from the end, the incomplete one first, as in the official code of MTT (arXiv 2203.11932).

    Example:
        >>> [len(rows) for rows in permuted_chunks(5, 2, 4, torch.Generator().manual_seed(0))]
        [1, 2, 2, 1]
    """
    chunks: list[Tensor] = []
    while len(chunks) < steps:
        chunks += reversed(torch.randperm(images, generator=generator).split(batch))
    return chunks[:steps]
