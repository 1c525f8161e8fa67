"""DC: one matching step, the plain loop over classes against ours (no training of the network)."""

from argparse import Namespace

from torch import Tensor, nn

from benchmarks.sides import PLAIN, USUAL, Side, grid, sweep
from benchmarks.worker import common
from lightning_dd.data.sampling import Batch
from lightning_dd.methods import DC
from reference import dc

SIDES, GRID = USUAL, grid()
SWEEP = {PLAIN: Side("plain"), **sweep("real_chunk", 16, 32, 64, 128, 256), **sweep("class_chunk", 2, 5, 10)}
OPTIONS = {"real_per_class": (256, "real images of each class in a step")}
DEFAULTS = {"ipc": 1, "steps": 3, "warmup": 1}


def method(side: Side, options: Namespace) -> DC:
    """Return the method, with a new network at every step."""
    return DC(real_per_class=options.real_per_class, outer_loops=1, **common(side, options))


def loss(method: DC, network: nn.Module, batch: Batch) -> Tensor:
    """Return the plain objective."""
    return dc.loss(network, batch.classes.tolist(), batch.images, method.synthetic.of_classes(batch.classes))
