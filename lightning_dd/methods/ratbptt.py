"""RaT-BPTT: DD through a window at a random place of a long training."""

from typing import Any, Literal

from lightning_dd.methods.dd import DD
from lightning_dd.runtime.options import Momentum, PositiveFloat, PositiveInt


class RaTBPTT(DD):
    """Embarrassingly Simple Dataset Distillation (Feng, Vedantam and Kempe, ICLR 2024, arXiv 2311.07025).

    DD with other choices: Adam for the inner steps, at a fixed step size; random mini-batches; T steps of which only W,
    from a random one on, are differentiated; the gradient of the images kept below twice its running average. The
    paper learns labels where there are many classes; here they stay fixed and hard. Other departures from the authors'
    program: Adam's epsilon is 1e-8 and its root is kept above 1e-15, where a derivative would be infinite; whitening is
    the data module's (`zca: frepo` is nearer to theirs than `mtt`: correlation 0.96 against 0.89); real batches are
    drawn anew at each step, theirs in passes; evaluation repeats T steps (protocol `dd`) on the last images, where
    theirs takes the best of 300, 600, 1,000 and 3,000, and the images that tested best on the way.

    Args:
        augmentation: one operation for each mini-batch and for the real images; digits leave `flip` out.
        **options: those of `DD`.
    """

    paper = "Embarrassingly Simple Dataset Distillation (ICLR 2024, arXiv 2311.07025)"
    published_passes = 60_000
    published_steps = 600_000  # 60,000 passes over CIFAR-10

    def __init__(
        self,
        ipc: PositiveInt,
        init: Literal["noise", "unit_noise", "real"] = "unit_noise",
        unroll: PositiveInt = 200,
        window: PositiveInt | None = 60,
        images_per_step: PositiveInt | None = None,
        shuffle: bool = True,
        step_size: PositiveFloat = 0.001,
        step_sizes: Literal["per_step", "scalar", "fixed"] = "fixed",
        optimizer: Literal["sgd", "adam"] = "adam",
        real_batch: PositiveInt = 5000,
        augmentation: str | None = "flip_rotate",
        lr: PositiveFloat = 0.001,
        momentum: Momentum = 0.9,
        halve_every: PositiveInt | None = None,
        clip_to_average: PositiveFloat | None = 2.0,
        **options: Any,
    ) -> None:
        steps = {"unroll": unroll, "window": window, "images_per_step": images_per_step, "shuffle": shuffle}
        inner = {"step_size": step_size, "step_sizes": step_sizes, "optimizer": optimizer}
        outer = {"lr": lr, "momentum": momentum, "halve_every": halve_every, "clip_to_average": clip_to_average}
        images = {"init": init, "augmentation": augmentation, "real_batch": real_batch}
        super().__init__(ipc, **images, **steps, **inner, **outer, **options)
