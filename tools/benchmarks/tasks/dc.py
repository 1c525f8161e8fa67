"""DC: one matching step, the plain loop over classes against ours (no training of the network)."""

from argparse import ArgumentParser, Namespace
from typing import Any

from benchmarks.sides import PLAIN, USUAL, Side, grid

SIDES = USUAL
SWEEP = {
    PLAIN: Side("plain"),
    **{f"ours, real_chunk {chunk}": Side("ours", chunk=chunk) for chunk in (16, 32, 64, 128, 256)},
    **{f"ours, class_chunk {chunk}": Side("ours", classes=chunk) for chunk in (2, 5, 10)},
}
GRID = grid()


def add_options(parser: ArgumentParser) -> None:
    """Add what this task asks for besides the common options."""
    parser.add_argument("--real_per_class", type=int, default=256, help="real images of each class in a step")
    parser.set_defaults(ipc=1, steps=3, warmup=1)


def worker(side: Side, options: Namespace) -> dict[str, Any]:
    """Return the measurements of one run, and as `answer` the gradient of the images in the first step."""
    from benchmarks.forms import dc  # only a worker needs Lightning

    return dc.run(side, options)
