"""Networks of a few epochs, moved a little at random, that go on learning (Acc-DD, arXiv 2212.06152)."""

from typing import Any

import torch
from torch import nn

from lightning_dd.rng import generator
from lightning_dd.runtime.options import NonNegativeFloat, PositiveInt
from lightning_dd.training.pretrained import PretrainedNetworks
from lightning_dd.training.sources import SourceContext, TrainedNetworks

SMALLEST = 1 / 9
"""Of the largest perturbation: the authors' numbers lie between 0.01 and 0.09."""


class EarlyNetworks(TrainedNetworks):
    """`TrainedNetworks` whose life begins as one of some networks that were trained for few epochs.

    Args:
        number: of networks that are trained beforehand.
        early_epochs: passes over the training set of each.
        perturbation: r; weights move along two random directions, each by a share of up to r of every filter's norm.
        **options: those of `TrainedNetworks`.
    """

    def __init__(
        self,
        number: PositiveInt = 5,
        early_epochs: PositiveInt = 2,
        perturbation: NonNegativeFloat = 0.09,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.perturbation, self._pretrained = perturbation, PretrainedNetworks(number, early_epochs, "accdd")

    def setup(self, context: SourceContext) -> None:
        """Train the early networks."""
        super().setup(context)
        self._pretrained.setup(context)
        self.prepared = self._pretrained.prepared

    def start(self, number: int) -> nn.Module:
        """Return one of the early networks, perturbed."""
        network = super().start(number)
        network.load_state_dict(self._pretrained.at(number).state_dict())
        perturb(network, self.perturbation, generator(self.context.seed, "perturbation", number))
        return network

    def state_dict(self) -> dict[str, Any]:
        """Return the network in the middle of its life, and what the early ones were."""
        return {**super().state_dict(), **self._pretrained.state_dict()}

    def has_state(self, iteration: int) -> bool:
        """Return whether there are networks."""
        return True

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the network; raise a `UserError` where the early ones were others."""
        self._pretrained.load_state_dict(state)
        super().load_state_dict({name: tensor for name, tensor in state.items() if name != "digest"})


@torch.no_grad()
def perturb(network: nn.Module, largest: float, draws: torch.Generator) -> None:
    """Move the weights along two random directions, which have the norm of the weights in every filter.

    Each counts with a share between a ninth of `largest` and all of it, of random sign. Biases and parameters of
    normalization stay as they are.
    """
    shares = [_share(largest, draws) for _ in range(2)]
    for weight in network.parameters():
        if weight.ndim in (2, 4):  # those of LayerNorm have three
            norms = weight.flatten(1).norm(dim=1)
            for share in shares:
                direction = torch.randn(weight.shape, generator=draws).to(weight).flatten(1)
                scaled = direction * (norms / direction.norm(dim=1)).unsqueeze(1)
                weight.add_(share * scaled.view_as(weight))


def _share(largest: float, draws: torch.Generator) -> float:
    size, sign = torch.rand(2, generator=draws).tolist()
    return (1 if sign < 0.5 else -1) * largest * (SMALLEST + (1 - SMALLEST) * size)
