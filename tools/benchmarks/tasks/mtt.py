"""MTT: one update of images and step size through a student's training, plain autograd against ours.

The default is the published setting for CIFAR-10 with one image a class (50 steps of 10 images); `--ipc 10 --unroll 30`
is that for ten. The rows for 10 and 50 steps show memory.
"""

from argparse import Namespace

from torch import Tensor

from benchmarks.sides import FULL_GRAPH, OURS, PLAIN, PLAINS, Side, memory
from benchmarks.worker import common
from lightning_dd.app.costs.random_walk import RandomWalk
from lightning_dd.data.sampling import Batch
from lightning_dd.experts.segments import Segment
from lightning_dd.methods import MTT, TESLA
from lightning_dd.rng import generator
from reference import mtt

SIDES = {
    **PLAINS,
    "ours, full graph": Side(more=FULL_GRAPH),
    **OURS,
    "tesla": Side("tesla"),
    **memory("synthetic_steps", 10, 50, tesla=Side("tesla")),
}
SWEEP = {PLAIN: Side("plain")}
OPTIONS = {"unroll": (50, "synthetic steps, all synthetic images in each")}
DEFAULTS = {"ipc": 1}


def method(side: Side, options: Namespace) -> MTT:
    """Return the method, with experts that walk at random."""
    settings = {"synthetic_steps": options.unroll, "step_size_lr": 1e-7, "lr": 100.0, **common(side, options)}
    kind, own = (TESLA, {"half_gradient": False}) if side.form == "tesla" else (MTT, {})
    return kind(experts="", networks=RandomWalk(), **settings, **own)


def loss(method: MTT, segments: list[Segment], batch: Batch) -> Tensor:
    """Return the plain objective."""
    ((number, start, target),) = segments
    images, labels = method.synthetic.images(), method.synthetic.targets()
    draws = (generator(method.seed, f"augmentation/{step}", number) for step in range(method.synthetic_steps))
    batches = ((method.augmentation(images, draw), labels) for draw in draws)
    return mtt.loss(method.networks.flat, start, target, batches, method.step_size.expand(method.synthetic_steps))
