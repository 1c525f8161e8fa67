"""DM: one update of the synthetic images, the plain loop over classes against ours."""

from argparse import Namespace

from torch import Tensor

from benchmarks.sides import PLAIN, USUAL, Side, grid, sweep
from benchmarks.worker import common
from lightning_dd.data.sampling import Batch
from lightning_dd.methods import DM
from lightning_dd.networks import Network
from reference import dm

SIDES, GRID = USUAL, grid()
SWEEP = {PLAIN: Side("plain"), **sweep("real_chunk", 32, 64, 128, 256, 512, 2560)}
OPTIONS = {"real_per_class": (256, "real images of each class in a step")}


def method(side: Side, options: Namespace) -> DM:
    """Return the method."""
    return DM(real_per_class=options.real_per_class, **common(side, options))


def loss(method: DM, network: Network, batch: Batch) -> Tensor:
    """Return the plain objective; no gradient of the weights is needed."""
    draw = method.draw_augmentation(batch.classes)

    def augment(place: int, images: Tensor) -> Tensor:
        return method.augment(draw[[place]], images[None])[0]

    features = network.requires_grad_(False).features
    return dm.loss(features, batch.images, method.synthetic.of_classes(batch.classes), augment)
