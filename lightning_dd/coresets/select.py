"""Choosing real images by any of the rules."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from lightning_dd.coresets.random_real import check_sizes, random_real
from lightning_dd.coresets.rules import forgetting_events, herding, k_center, k_means, most_forgotten
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
        class_names: for error messages; numbers where missing.
        repeat: cycle through a class with fewer than `ipc` images instead of refusing it.

    Returns:
        `(num_classes * ipc,)` indices on the CPU.

    Raises:
        UserError: a class has fewer than `ipc` images (with `repeat`: none).
    """
    if selection == "random":
        return random_real(labels, num_classes, ipc, generator, class_names, repeat)
    labels = labels.cpu()
    check_sizes(labels, num_classes, ipc, class_names, repeat)  # before a network is trained for nothing
    found = trained()
    if selection == "forgetting":
        value, rule = forgetting_events(found.history).__getitem__, most_forgotten
    else:
        rules = {"herding": herding, "k_center": k_center, "k_means": partial(k_means, generator=generator)}
        value, rule = found.of, rules[selection]
    chosen = []
    for index in range(num_classes):
        members = (labels == index).nonzero().flatten()
        positions = rule(value(members), min(ipc, len(members))).cpu()
        chosen.append(members[positions[torch.arange(ipc) % len(positions)]])
    return torch.cat(chosen)
