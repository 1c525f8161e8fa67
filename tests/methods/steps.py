"""Parts of a training step outside a run."""

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
