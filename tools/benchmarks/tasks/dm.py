"""DM: one update of the synthetic images, the plain loop over classes against ours."""

from argparse import ArgumentParser, Namespace
from typing import Any

from benchmarks.sides import PLAIN, USUAL, Side, grid

SIDES = USUAL
SWEEP = {
    PLAIN: Side("plain"),
    **{f"ours, real_chunk {chunk}": Side("ours", chunk=chunk) for chunk in (32, 64, 128, 256, 512, 2560)},
}
GRID = grid()


def add_options(parser: ArgumentParser) -> None:
    """Add what this task asks for besides the common options."""
    parser.add_argument("--real_per_class", type=int, default=256, help="real images of each class in a step")


def worker(side: Side, options: Namespace) -> dict[str, Any]:
    """Return the measurements of one run, and as `answer` the gradient of the images in the first step."""
    from benchmarks.forms import dm  # only a worker needs Lightning

    return dm.run(side, options)
