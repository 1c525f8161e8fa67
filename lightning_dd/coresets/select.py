"""Choosing real images by any of the rules."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from lightning_dd.coresets.classes import check_sizes, choose_by_class
from lightning_dd.coresets.forgetting import forgetting_events, most_forgotten
from lightning_dd.coresets.herding import herding
from lightning_dd.coresets.k_center import k_center
from lightning_dd.coresets.k_means import k_means
from lightning_dd.coresets.random_real import random_real
from lightning_dd.training.features import TrainedFeatures

Selection = Literal["random", "herding", "k_center", "forgetting", "k_means"]


def select(
    selection: Selection,
    labels: Tensor,
    num_classes: int,
    ipc: int,
    generator: torch.Generator,
    trained: Callable[[], TrainedFeatures],
    class_names: list[str] | None = None,
    repeat: bool = False,
) -> Tensor:
    """Return the indices of `ipc` images of each class, class-major.

    Args:
        selection: the rule.
        labels: class index of every image, `(N,)`.
        num_classes: K.
        ipc: images per class.
        generator: a CPU generator, for the rules that draw.
        trained: called for the feature network by the rules that need one: all but `random`.
        class_names: how error messages call the classes.
        repeat: a class with fewer than `ipc` images shows them again in the same order instead of being refused.

    Returns:
        `(num_classes * ipc,)` indices on the CPU.

    Raises:
        UserError: a class with fewer than `ipc` images (with `repeat`: without any).
    """
    if selection == "random":
        return random_real(labels, num_classes, ipc, generator, class_names, repeat)
    check_sizes(labels, num_classes, ipc, class_names, repeat)  # before a network is trained for nothing
    rule = _rule(selection, trained(), generator)
    return choose_by_class(labels, num_classes, ipc, rule, class_names, repeat)


def _rule(
    selection: Selection, trained: TrainedFeatures, generator: torch.Generator
) -> Callable[[Tensor, int], Tensor]:
    """Return what chooses among a class's images, given their indices and how many are wanted."""
    if selection == "forgetting":
        events = forgetting_events(trained.history)
        return lambda rows, count: most_forgotten(events[rows], count)
    by_features = {"herding": herding, "k_center": k_center, "k_means": partial(k_means, generator=generator)}[
        selection
    ]
    return lambda rows, count: by_features(trained.of(rows), count)
