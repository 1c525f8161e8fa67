"""Train a network by exactly the steps that a set was learned with (DD, arXiv 1811.10959)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.errors import UserError
from lightning_dd.evaluation.training import Augmentation

INITIAL = "initial_weights."


def train_as_recorded(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    distilled: DistilledDataset,
    augment: Augmentation | None,
    generator: torch.Generator,
) -> nn.Module:
    """Train a network in place and return it.

    Args:
        network: on the device of the images; starts from its own weights, or from those that the set brings.
        images: `(N, C, H, W)` in the space in which networks are trained.
        labels: `(N,)` class indices.
        distilled: brings the step sizes `(T,)`, the order of the batches `(T, B)`, and the optimizer's name.
        augment: applied to each mini-batch.
        generator: on CPU; draws the augmentation.

    Raises:
        UserError: the set brings no steps, or initial weights of another network.
    """
    if not {"step_sizes", "order"} <= distilled.tensors.keys():
        raise UserError("The set brings no steps of its own to train with; use --evaluation.protocol common.")
    _start(network, {k.removeprefix(INITIAL): v for k, v in distilled.tensors.items() if k.startswith(INITIAL)})
    network.train()
    images, labels = images.detach(), labels.detach()
    optimizer = _optimizer(network, **distilled.recipe["inner"])
    order = distilled.tensors["order"].to(images.device)
    for rows, step_size in zip(order, distilled.tensors["step_sizes"].tolist(), strict=True):
        optimizer.param_groups[0]["lr"] = step_size
        batch = images[rows] if augment is None else augment(images[rows], generator)
        loss = F.cross_entropy(network(batch), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def check_start(network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Refuse a network that initial weights, by name, are not for.

    Raises:
        UserError: names or shapes differ.
    """
    own = dict(network.named_parameters())
    if {name: p.shape for name, p in own.items()} != {name: p.shape for name, p in weights.items()}:
        raise UserError(
            "The set was learned for one network's initial weights, and this is another network; leave "
            "--evaluation.network out, or use --evaluation.protocol common."
        )


@torch.no_grad()
def _start(network: nn.Module, weights: dict[str, Tensor]) -> None:
    if not weights:
        return
    check_start(network, weights)
    for name, parameter in network.named_parameters():
        parameter.copy_(weights[name])


def _optimizer(network: nn.Module, optimizer: str, momentum: float | None = None) -> torch.optim.Optimizer:
    if optimizer == "adam":
        return torch.optim.Adam(network.parameters())
    return torch.optim.SGD(network.parameters(), momentum=momentum or 0.0)
