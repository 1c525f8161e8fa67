"""Parts of a training step outside a run."""

import torch
from torch import Tensor

from lightning_dd.data.sampling import Batch
from lightning_dd.methods import Distiller


def ready(module: Distiller) -> Distiller:
    """Return the method, its source of networks set up."""
    module.networks.setup(module.source_context())
    return module


def objective(module: Distiller, batch: Batch) -> Tensor:
    """Return the objective at the method's iteration."""
    return module.objective(module.networks.at(module.iteration), module.synthetic, batch)


def train_networks(module: Distiller, batch: Batch | None = None) -> None:
    """Train the networks as after an update of the images."""
    module.networks.update(module.iteration, module.synthetic, batch)


class Walk:
    """Experts that walk at random from the weights of a network."""

    def __init__(self, network: torch.nn.Module, experts: int = 2, epochs: int = 5) -> None:
        start = torch.nn.utils.parameters_to_vector(network.parameters()).detach().double()
        draws = torch.Generator().manual_seed(3)
        steps = 0.02 * torch.randn(experts, epochs + 1, len(start), generator=draws, dtype=torch.float64)
        self.ways = start + steps.cumsum(1)

    def __len__(self) -> int:
        return len(self.ways)

    def weights(self, index: int, epoch: int) -> torch.Tensor:
        return self.ways[index, epoch].clone()
