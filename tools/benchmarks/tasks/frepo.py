"""FRePo: one update of images and labels, the plain form against ours; both then train a network of the same pool."""

from argparse import Namespace
from functools import partial

from torch import Tensor, nn

from benchmarks.sides import PLAIN, USUAL, Side, sweep
from benchmarks.worker import common
from lightning_dd.data.sampling import Batch
from lightning_dd.losses import centered_targets
from lightning_dd.methods import FRePo
from lightning_dd.networks import FRePoNet
from reference import frepo

SIDES = USUAL
SWEEP = {PLAIN: Side("plain"), **sweep("real_chunk", 32, 64, 128, 256, 512, 1024)}
OPTIONS = {
    "real_batch": (1024, "real images in a step"),
    "no_flip": (False, "without mirrored copies, as published for digits"),
}
DEFAULTS = {"steps": 4, "warmup": 2}


def method(side: Side, options: Namespace) -> FRePo:
    """Return the method; small images survive two poolings."""
    network = partial(FRePoNet, width=options.width, depth=2 if min(options.shape[1:]) < 16 else 3)
    settings = {"real_batch": options.real_batch, "flip": not options.no_flip, "lr_decay": 1.0}
    return FRePo(**settings, **{**common(side, options), "network": network})


def loss(method: FRePo, network: nn.Module, batch: Batch) -> Tensor:
    """Return the plain objective."""
    images, labels = method.synthetic.images(), method.synthetic.targets()
    targets = centered_targets(batch.labels, method.num_classes)
    return frepo.loss(network.features, batch.images, targets, images, labels, method.flip)
