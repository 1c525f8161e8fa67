"""KIP: one update of images and labels by the fully-connected kernel, the plain form against ours."""

from argparse import ArgumentParser, Namespace
from typing import Any

from benchmarks.sides import OURS, PLAIN, PLAINS, Side

SIDES = {**PLAINS, **OURS}
SWEEP = {
    PLAIN: Side("plain"),
    **{f"ours, real_chunk {chunk}": Side("ours", chunk=chunk) for chunk in (250, 500, 1000, 2500, 5000)},
}


def add_options(parser: ArgumentParser) -> None:
    """Add what this task asks for besides the common options."""
    parser.add_argument("--real_batch", type=int, default=5000, help="real images in a step")
    parser.add_argument("--depth", type=int, default=1, help="hidden layers of the infinitely wide network")


def worker(side: Side, options: Namespace) -> dict[str, Any]:
    """Return the measurements of one run, and as `answer` the gradient of the images in the first step."""
    from benchmarks.forms import kip  # only a worker needs Lightning

    return kip.run(side, options)
