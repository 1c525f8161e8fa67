"""Floating-point operations, counted by PyTorch."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


class Operations:
    """The number of floating-point operations of a block; None inside it.

    Attributes:
        count: of matrix products and convolutions, two for each multiply-add, backward passes included.
    """

    count: int | None = None


class _NoModules(nullcontext):
    """In place of the counter's look at modules, whose hooks fail where a backward pass takes another inside it."""

    parents = frozenset({"Global"})


@contextmanager
def counted() -> Iterator[Operations]:
    """Count the operations of what runs inside; not of compiled code, which the counter would take apart."""
    found = Operations()
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _NoModules()
    with counter:
        yield found
    found.count = counter.get_total_flops()


@torch.no_grad()
def forward_operations(network: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Return the operations of an image `(C, H, W)` through a network in eval mode; training on it has 3 times that."""
    images = next(network.parameters()).new_zeros(1, *image_shape)
    with counted() as found:
        network(images)
    return found.count
