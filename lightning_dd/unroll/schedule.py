"""Which synthetic images each inner step is trained on, and which inner steps are differentiated."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lightning_dd.errors import OptionError, check_number
from lightning_dd.rng import generator

Where = Literal["pass", "step", "end"]


@dataclass(frozen=True)
class Schedule:
    """T inner steps, each on a class-balanced mini-batch, and the window of W of them that is differentiated.

    Attributes:
        num_classes: K.
        ipc: images of each class; the set is class-major.
        steps: T.
        per_class: k, images of each class in a mini-batch.
        shuffle: random mini-batches, anew for every iteration (arXiv 2311.07025), in place of mini-batches that take
            turns in one order (arXiv 1811.10959).
        classes: with `shuffle`, how many random classes a mini-batch has; None for all.
        window: W; None for all steps.
        where: the window's place, drawn once for a pass over the real images or for each step, or at the end.
        seed: of the draws.

    Raises:
        UserError: a number is out of its range, or does not go with another.
    """

    num_classes: int
    ipc: int
    steps: int
    per_class: int = 1
    shuffle: bool = False
    classes: int | None = None
    window: int | None = None
    where: Where = "pass"
    seed: int = 0

    def __post_init__(self) -> None:
        check_number("unroll", self.steps)
        check_number("images_per_step", self.per_class, self.ipc)
        check_number("classes_per_step", self.classes, self.num_classes)
        check_number("window", self.window, self.steps)
        if self.classes is not None and not self.shuffle:
            raise OptionError("classes_per_step", "chooses classes at random: set {shuffle} true as well")

    def order(self, iteration: int, purpose: str = "order") -> Tensor:
        """Return the rows of each step's images, `(T, B)`, on the CPU.

        Args:
            iteration: of the method.
            purpose: keys the draw, where there is one.

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
        """Return the steps of the window; the training ends with the last of them.

        Args:
            iteration: of the method.
            steps_per_pass: iterations in a pass over the real images.
        """
        if self.window is None:
            return range(self.steps)
        first = self.steps - self.window
        if self.where != "end":
            drawn_for = iteration if self.where == "step" else iteration // steps_per_pass
            first = torch.randint(first + 1, (), generator=generator(self.seed, "window", drawn_for)).item()
        return range(first, first + self.window)
