"""DD: one update of images and step sizes through unrolled training, plain autograd against ours.

Gray 28x28 images go through LeNet, 32x32 images through AlexCifarNet (`--shape 3,32,32`), as published. The rows for 10
and 100 steps show memory: a small ConvNet trained on all images at once, where activations are what fills it.
"""

from argparse import Namespace

from torch import Tensor
from torch.func import functional_call

from benchmarks.sides import FULL_GRAPH, OURS, PLAIN, PLAINS, Side, memory, sweep
from benchmarks.worker import common
from lightning_dd.data.sampling import Batch
from lightning_dd.methods import DD
from lightning_dd.networks import AlexCifarNet, DDLeNet
from reference import dd

SIDES = {**PLAINS, "ours, full graph": Side(more=FULL_GRAPH), **OURS, **memory("unroll", 10, 100)}
SWEEP = {PLAIN: Side("plain"), **sweep("real_chunk", 32, 64, 128, 256, 512, 1024)}
OPTIONS = {
    "unroll": (30, "inner steps, one image of each class in each"),
    "real_batch": (1024, "real images in a step"),
}
DEFAULTS = {"shape": (1, 28, 28), "width": 16}


def method(side: Side, options: Namespace) -> DD:
    """Return the method, in its published settings but for the rows about memory."""
    gray, settings = options.shape[0] == 1, common(side, options)
    if side.group:
        settings["images_per_step"] = options.ipc
    else:
        settings["network"] = DDLeNet if gray else AlexCifarNet
    size = 0.02 if gray else 0.001
    own = {"unroll": options.unroll, "step_size": size, "real_batch": options.real_batch, "halve_every": None}
    return DD(**{**own, **settings})


def loss(method: DD, starts: list[Tensor], batch: Batch) -> Tensor:
    """Return the plain objective."""
    flat, images, labels = method.networks.flat, method.synthetic.images(), method.synthetic.targets()
    batches = ((images[rows], labels[rows]) for rows in method.schedule.order(method.iteration).to(images.device))

    def network(weights: dd.Weights, images: Tensor) -> Tensor:
        return functional_call(flat.network, weights, images)

    return dd.loss(network, flat.named(starts[0]), batches, method.step_sizes, batch.images, batch.labels)
