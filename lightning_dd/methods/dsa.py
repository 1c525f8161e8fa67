"""DSA: gradient matching under one augmentation for a class's real and synthetic images."""

from typing import Any

from lightning_dd.augmentation import ALL_OPERATIONS
from lightning_dd.methods.dc import DC
from lightning_dd.methods.preparation import Init
from lightning_dd.runtime.options import PositiveInt


class DSA(DC):
    """Dataset Condensation with Differentiable Siamese Augmentation (Zhao and Bilen, ICML 2021, arXiv 2102.08259).

    DC with an augmentation that a class's real and synthetic images share in matching, and that the network's training
    on the images uses too; the images start as real ones.

    Args:
        augmentation: DSA operations joined by `_`, one a class and step; leave out `flip` for digits.
        **options: those of `DC`.
    """

    paper = "Dataset Condensation with Differentiable Siamese Augmentation (ICML 2021, arXiv 2102.08259)"
    protocol = "dsa"

    def __init__(
        self,
        ipc: PositiveInt,
        augmentation: str | None = ALL_OPERATIONS,
        init: Init = "real",
        **options: Any,
    ) -> None:
        super().__init__(ipc, augmentation=augmentation, init=init, **options)
