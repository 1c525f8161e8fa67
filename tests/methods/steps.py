"""Parts of a training step outside a run."""

import functools
from collections.abc import Iterable

import torch
from torch import Tensor

from lightning_dd.data.sampling import Batch
from lightning_dd.methods import Distiller
from lightning_dd.networks import ConvNet
from lightning_dd.rng import generator


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


SHAPE, CLASSES = (2, 8, 12), 3
SMALL = functools.partial(ConvNet, width=4, depth=2)


def small(kind: type[Distiller], **options) -> Distiller:
    """Return a method in float64 with 2 images of each class, noise, and 5 real ones in a step."""
    facts = {"num_classes": CLASSES, "image_shape": SHAPE, "seed": 7, "network": SMALL, "real_per_class": 5}
    module = kind(2, **facts | options)
    with torch.no_grad():
        images = module.synthetic.codec.images
        images.copy_(torch.randn(images.shape, generator=generator(0, "test")))
    return ready(module).double()


def real_batch(classes: Iterable[int] = range(CLASSES)) -> Batch:
    """Return 5 real images of each of some classes."""
    chosen = torch.tensor(list(classes), dtype=torch.long)
    real = torch.randn(CLASSES, 5, *SHAPE, generator=generator(1, "test"), dtype=torch.float64)
    return Batch(0, chosen, real[chosen], chosen[:, None].expand(-1, 5))


def assert_same(loss: Tensor, plain: Tensor, module: Distiller) -> None:
    """Compare two losses in float64, and their gradients with respect to the stored images, to 1e-9."""
    torch.testing.assert_close(loss, plain, rtol=1e-9, atol=0)
    ours, theirs = (torch.autograd.grad(value, module.synthetic.codec.images)[0] for value in (loss, plain))
    assert (ours - theirs).norm() <= 1e-9 * theirs.norm() > 0


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
