"""Evaluation: testing with one network, and training one on a distilled set.

A step is one pass over the test images, or one epoch of training.
"""

from argparse import ArgumentParser, Namespace
from typing import Any

from benchmarks.sides import PLAIN, PLAINS, Side

CHUNKS = (32, 64, 128, 256, 512, 1000, 10_000)
SIDES = {
    **PLAINS,
    "ours": Side("ours"),
    "ours, bf16": Side("ours", precision="bf16-mixed"),
    "training, default allocator": Side("plain", tuned=False, group="training"),
    "training": Side("plain", group="training"),
    "training, ours": Side("ours", group="training"),
    "training, bf16": Side("ours", precision="bf16-mixed", group="training"),
}
SWEEP = {PLAIN: Side("plain"), **{f"ours, chunk {chunk}": Side("ours", chunk=chunk) for chunk in CHUNKS}}


def add_options(parser: ArgumentParser) -> None:
    """Add what this task asks for besides the common options; a step takes seconds, so few are enough."""
    parser.add_argument("--test_images", type=int, default=10_000, help="images that the network is tested on")
    parser.add_argument("--epochs", type=int, default=4, help="epochs in one measured training")
    parser.set_defaults(steps=3, warmup=1)


def worker(side: Side, options: Namespace) -> dict[str, Any]:
    """Return the measurements of one run: of passes over the test images, or of epochs."""
    from benchmarks.forms import evaluate  # only a worker needs Lightning

    return evaluate.run(side, options)
