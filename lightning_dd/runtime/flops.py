"""Floating-point operations, counted by PyTorch."""

from contextlib import nullcontext

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


class _NoModules(nullcontext):
    """In place of the counter's look at modules, whose hooks fail where a backward pass takes another inside it."""

    parents = frozenset({"Global"})


def counted() -> FlopCounterMode:
    """Return a counter of the floating-point operations of what runs inside it.

    It counts matrix products and convolutions, two operations for each multiply-add, backward passes included; not
    compiled code, which it would take apart.
    """
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _NoModules()
    return counter


@torch.no_grad()
def forward_operations(network: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Return the operations of an image `(C, H, W)` through a network in eval mode; training on it has 3 times that."""
    images = next(network.parameters()).new_zeros(1, *image_shape)
    with counted() as found:
        network(images)
    return found.get_total_flops()
