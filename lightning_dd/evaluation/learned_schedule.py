"""Training by exactly the steps that a set was learned with (DD, arXiv 1811.10959)."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.augmentation import DSA
from lightning_dd.errors import UserError
from lightning_dd.evaluation.protocol import Plan, Protocol
from lightning_dd.training.loop import Augmentation

INITIAL = "initial_weights."
_NO_STEPS = "The set brings no steps of its own to train with; use {evaluation.protocol} common."


@dataclass(frozen=True)
class LearnedScheduleProtocol(Protocol):
    """The set brings its own steps; of the fields, `random_real` alone matters.

    Attributes:
        random_real: the protocol for random real images, to which steps that were learned with others are not fair.
    """

    instead_of_epochs = "trains with the set's own steps"

    random_real: Protocol = field(kw_only=True)

    def for_data(self, data: str, network: nn.Module | None) -> "LearnedScheduleProtocol":
        """Return the protocol with that for random real images in its form for a data set and networks."""
        return replace(self, random_real=self.random_real.for_data(data, network))

    def for_real(self) -> Protocol:
        """Return the protocol for random real images."""
        return self.random_real

    def bind(self, recipe: dict[str, Any]) -> "LearnedScheduleProtocol":
        """Return the protocol as it is; raise a `UserError` where the set has no steps of its own."""
        if "inner" not in recipe:
            raise UserError(_NO_STEPS)
        return self

    def check_network(self, network: nn.Module, initial_weights: dict[str, Tensor]) -> None:
        """Raise a `UserError` where names or shapes differ."""
        own = {name: parameter.shape for name, parameter in network.named_parameters()}
        if initial_weights and own != {name: tensor.shape for name, tensor in initial_weights.items()}:
            raise UserError(
                "The set was learned for one network's initial weights, and this is another network; leave "
                "{evaluation.network} out, or use {evaluation.protocol} common."
            )

    def augment(self, strategy: str | None) -> Augmentation | None:
        """Return the augmentation that the steps were learned with."""
        return DSA(strategy) if strategy else None

    def plan(
        self, network: nn.Module, count: int, distilled: DistilledDataset | None, generator: torch.Generator
    ) -> Plan:
        """Load the set's initial weights, if any; return its order `(T, B)`, optimizer and T step sizes.

        Raises:
            UserError: the set brings no steps, or initial weights of another network.
        """
        tensors = distilled.tensors
        if not {"step_sizes", "order"} <= tensors.keys():
            raise UserError(_NO_STEPS)
        initial = {name.removeprefix(INITIAL): tensors[name] for name in tensors if name.startswith(INITIAL)}
        self.check_network(network, initial)
        network.load_state_dict(initial, strict=False)  # without running statistics
        step_sizes = tensors["step_sizes"].tolist()

        def schedule(step: int, optimizer: torch.optim.Optimizer) -> None:
            optimizer.param_groups[0]["lr"] = step_sizes[step]

        device = next(network.parameters()).device
        return tensors["order"].to(device), _optimizer(network, **distilled.recipe["inner"]), schedule

    def length(self, num_images: int) -> str:
        """Return how long a network trains, for the screen."""
        return "the steps it was learned with"


def _optimizer(network: nn.Module, optimizer: str, momentum: float | None = None) -> torch.optim.Optimizer:
    if optimizer == "adam":
        return torch.optim.Adam(network.parameters())
    return torch.optim.SGD(network.parameters(), momentum=momentum or 0.0)
