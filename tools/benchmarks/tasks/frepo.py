"""FRePo: one update of images and labels and of a network of the pool, the plain form against ours."""

from argparse import ArgumentParser, Namespace
from typing import Any

from benchmarks.sides import PLAIN, USUAL, Side

SIDES = USUAL
SWEEP = {
    PLAIN: Side("plain"),
    **{f"ours, real_chunk {chunk}": Side("ours", chunk=chunk) for chunk in (32, 64, 128, 256, 512, 1024)},
}


def add_options(parser: ArgumentParser) -> None:
    """Add what this task asks for besides the common options; a step takes seconds, so few are enough."""
    parser.add_argument("--real_batch", type=int, default=1024, help="real images in a step")
    parser.add_argument("--no_flip", action="store_true", help="without mirrored copies, as published for digits")
    parser.set_defaults(steps=4, warmup=2)


def worker(side: Side, options: Namespace) -> dict[str, Any]:
    """Return the measurements of one run, and as `answer` the gradient of the images in the first step."""
    from benchmarks.forms import frepo  # only a worker needs Lightning

    return frepo.run(side, options)
