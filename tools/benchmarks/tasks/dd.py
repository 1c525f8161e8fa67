"""DD: one update of images and step sizes through unrolled training, plain autograd against ours.

Gray 28x28 images go through LeNet, 32x32 images through AlexCifarNet (`--shape 3,32,32`), as published. The rows for 10
and 100 steps show memory: a small ConvNet trained on all images at once, where activations are what fills it.
"""

from argparse import ArgumentParser, Namespace
from typing import Any

from benchmarks.sides import OURS, PLAIN, PLAINS, Side

MEMORY = "memory"
SIDES = {
    **PLAINS,
    "ours, full graph": Side("graph"),
    **OURS,
    **{
        f"{steps} steps, {name}": Side(form, group=f"{MEMORY} {steps}", unroll=steps)
        for steps in (10, 100)
        for name, form in (("plain", "plain"), ("ours, full graph", "graph"), ("ours", "ours"))
    },
}
SWEEP = {
    PLAIN: Side("plain"),
    **{f"ours, real_chunk {chunk}": Side("ours", chunk=chunk) for chunk in (32, 64, 128, 256, 512, 1024)},
}


def add_options(parser: ArgumentParser) -> None:
    """Add what this task asks for besides the common options."""
    parser.add_argument("--unroll", type=int, default=30, help="inner steps, one image of each class in each")
    parser.add_argument("--real_batch", type=int, default=1024, help="real images in a step")
    parser.set_defaults(shape=(1, 28, 28), width=16)


def worker(side: Side, options: Namespace) -> dict[str, Any]:
    """Return the measurements of one run, and as `answer` the gradient of the images in the first step."""
    from benchmarks.forms import dd  # only a worker needs Lightning

    return dd.run(side, options)
