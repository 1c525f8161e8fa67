"""MTT: one update of images and step size through a student's training, plain autograd against ours.

The default is the published setting for CIFAR-10 with one image a class (50 steps of 10 images); `--ipc 10 --unroll 30`
is that for ten. The rows for 10 and 50 steps show memory. Another group trains experts: a step is a mini-batch of 256.
"""

from argparse import ArgumentParser, Namespace
from typing import Any

from benchmarks.sides import OURS, PLAIN, PLAINS, Side

EXPERT = "expert"
SIDES = {
    **PLAINS,
    "ours, full graph": Side("graph"),
    **OURS,
    "tesla": Side("tesla"),
    **{
        f"{steps} steps, {name}": Side(form, group=f"memory {steps}", unroll=steps)
        for steps in (10, 50)
        for name, form in (("plain", "plain"), ("ours, full graph", "graph"), ("ours", "ours"), ("tesla", "tesla"))
    },
    "expert, plain, default allocator": Side("plain", tuned=False, group=EXPERT),
    "expert, plain": Side("plain", group=EXPERT),
    "expert, ours": Side("ours", group=EXPERT),
    "expert, ours, compile": Side("ours", compile=True, group=EXPERT),
}
SWEEP = {
    PLAIN: Side("plain"),
    **{f"ours, keep_every {chunk}": Side("ours", chunk=chunk) for chunk in (1, 2, 5, 10)},
}


def add_options(parser: ArgumentParser) -> None:
    """Add what this task asks for besides the common options."""
    parser.add_argument("--unroll", type=int, default=50, help="synthetic steps, all synthetic images in each")
    parser.set_defaults(ipc=1)


def worker(side: Side, options: Namespace) -> dict[str, Any]:
    """Return the measurements of one run, and as `answer` the gradient of the images in the first step.

    For experts it is the weights after the first mini-batch.
    """
    from benchmarks.forms import experts, mtt  # only a worker needs Lightning

    return (experts if side.group == EXPERT else mtt).run(side, options)
