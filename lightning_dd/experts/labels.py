"""Logits of finished experts, and images that they classify correctly."""

from collections.abc import Callable

import torch
from torch import Tensor

from lightning_dd.experts.trajectories import Trajectories
from lightning_dd.unroll.functional import FlatNetwork

CHUNK = 256


@torch.no_grad()
def expert_logits(
    trajectories: Trajectories, network: FlatNetwork, images: Tensor, classes: Tensor | None, device: torch.device
) -> Tensor:
    """Return the logits `(N, num_classes)`, on the CPU, of preprocessed images under experts after their last epoch.

    With classes `(N,)`, an image's logits are the mean over the experts that classify it correctly, or over all where
    none does; without, those of the first expert.
    """
    if classes is None:
        return _logits(trajectories, 0, network, images, device)
    right, every, count = 0.0, 0.0, 0
    for index in range(len(trajectories)):
        logits = _logits(trajectories, index, network, images, device)
        correct = (logits.argmax(1) == classes)[:, None]
        right, every, count = right + correct * logits, every + logits, count + correct
    return torch.where(count > 0, right / count.clamp(min=1), every / len(trajectories))


@torch.no_grad()
def rows_that_experts_get_right(
    trajectories: Trajectories,
    network: FlatNetwork,
    images: Callable[[Tensor], Tensor],
    labels: Tensor,
    ipc: int,
    generator: torch.Generator,
    device: torch.device,
) -> Tensor:
    """Return random rows of images that an expert classifies correctly after its last epoch, class-major.

    Where the first expert has fewer than `ipc` of a class, those of the next ones are added, and then the class's other
    images, again and again where it has fewer. `images` gives preprocessed images `(n, C, H, W)` of rows `(n,)`; labels
    `(N,)` are those of all rows.
    """
    shuffled = torch.randperm(len(labels), generator=generator)
    chosen = []
    for label in range(int(labels.max()) + 1):
        rows = shuffled[labels[shuffled] == label]
        found = rows[:0]
        for index in range(len(trajectories)):
            weights = trajectories.final(index).to(device)
            for part in rows[~torch.isin(rows, found)].split(CHUNK):
                if len(found) >= ipc:
                    break
                correct = network(weights, images(part).to(device)).argmax(1).cpu() == label
                found = torch.cat([found, part[correct]])
            if len(found) >= ipc:
                break
        found = torch.cat([found, rows[~torch.isin(rows, found)]])
        chosen.append(found[torch.arange(ipc) % len(rows)])
    return torch.cat(chosen)


def _logits(
    trajectories: Trajectories, index: int, network: FlatNetwork, images: Tensor, device: torch.device
) -> Tensor:
    weights = trajectories.final(index).to(device, images.dtype)
    return torch.cat([network(weights, part.to(device)).cpu() for part in images.split(CHUNK)])
