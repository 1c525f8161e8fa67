"""Training by exactly the steps that a set was learned with (DD, arXiv 1811.10959)."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.augmentation import DSA
from lightning_dd.errors import UserError
from lightning_dd.evaluation.protocol import Protocol
from lightning_dd.training.loop import Augmentation, mini_batches, train_network

INITIAL = "initial_weights."
_NO_STEPS = "The set brings no steps of its own to train with; use {evaluation.protocol} common."


@dataclass(frozen=True)
class LearnedScheduleProtocol(Protocol):
    """The set brings its own steps, and nothing of what other protocols fix matters but `random_real`."""

    without_epochs = "trains with the set's own steps"

    def bind(self, recipe: dict[str, Any]) -> "LearnedScheduleProtocol":
        """Return the protocol as it is.

        Raises:
            UserError: the set was not learned with steps of its own.
        """
        if "inner" not in recipe:
            raise UserError(_NO_STEPS)
        return self

    def check_network(self, network: nn.Module, initial_weights: dict[str, Tensor]) -> None:
        """Refuse a network that the set's initial weights, by name, are not for.

        Raises:
            UserError: names or shapes differ.
        """
        own = {name: parameter.shape for name, parameter in network.named_parameters()}
        if initial_weights and own != {name: tensor.shape for name, tensor in initial_weights.items()}:
            raise UserError(
                "The set was learned for one network's initial weights, and this is another network; leave "
                "{evaluation.network} out, or use {evaluation.protocol} common."
            )

    def augment(self, strategy: str | None) -> Augmentation | None:
        """Return the augmentation that the steps were learned with."""
        return DSA(strategy) if strategy else None

    def train(
        self,
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        distilled: DistilledDataset,
        augment: Augmentation | None,
        generator: torch.Generator,
    ) -> None:
        """Train a network in place.

        Args:
            network: on the device of the images; it starts from its own weights, or from those that the set brings.
            images: `(N, C, H, W)` in the space in which networks are trained.
            labels: `(N,)` class indices.
            distilled: brings the step sizes `(T,)`, the order of the batches `(T, B)`, and the optimizer's name.
            augment: applied to each mini-batch.
            generator: on CPU; draws the augmentation.

        Raises:
            UserError: the set brings no steps, or initial weights of another network.
        """
        tensors = distilled.tensors
        if not {"step_sizes", "order"} <= tensors.keys():
            raise UserError(_NO_STEPS)
        initial = {name.removeprefix(INITIAL): tensors[name] for name in tensors if name.startswith(INITIAL)}
        self.check_network(network, initial)
        network.load_state_dict(initial, strict=False)  # without running statistics
        optimizer, step_sizes = _optimizer(network, **distilled.recipe["inner"]), tensors["step_sizes"].tolist()

        def schedule(step: int, optimizer: torch.optim.Optimizer) -> None:
            optimizer.param_groups[0]["lr"] = step_sizes[step]

        batches = mini_batches(images, labels, tensors["order"].to(images.device), augment, generator)
        train_network(network.train(), batches, self.loss, optimizer, schedule)

    def length(self, num_images: int) -> str:
        """Return how long a network trains, for the screen."""
        return "the steps it was learned with"


def _optimizer(network: nn.Module, optimizer: str, momentum: float | None = None) -> torch.optim.Optimizer:
    if optimizer == "adam":
        return torch.optim.Adam(network.parameters())
    return torch.optim.SGD(network.parameters(), momentum=momentum or 0.0)
