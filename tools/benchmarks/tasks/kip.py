"""KIP: one update of images and labels by the fully-connected kernel, the plain form against ours."""

from argparse import Namespace

from torch import Tensor

from benchmarks.sides import OURS, PLAIN, PLAINS, Side, sweep
from benchmarks.worker import common
from lightning_dd.data.sampling import Batch
from lightning_dd.losses import centered_targets
from lightning_dd.methods import KIP
from reference import kip

SIDES = {**PLAINS, **OURS}
SWEEP = {PLAIN: Side("plain"), **sweep("real_chunk", 250, 500, 1000, 2500, 5000)}
OPTIONS = {
    "real_batch": (5000, "real images in a step"),
    "depth": (1, "hidden layers of the infinitely wide network"),
}


def method(side: Side, options: Namespace) -> KIP:
    """Return the method, with learned labels."""
    return KIP(depth=options.depth, real_batch=options.real_batch, labels="learned", **common(side, options))


def loss(method: KIP, network: None, batch: Batch) -> Tensor:
    """Return the plain objective."""
    images, labels = method.synthetic.images(), method.synthetic.targets()
    targets = centered_targets(batch.labels.flatten(), method.num_classes)
    return kip.loss(batch.images.flatten(0, 1), targets, images, labels, method.depth)
