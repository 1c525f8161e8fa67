"""What the plain forms share: their timed loop, and what they use in place of ours."""

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.meter import Meter
from lightning_dd.networks.dd_networks import LocalResponseNorm
from lightning_dd.networks.pooling import AveragePool2x2


def with_library_operations(network: nn.Module) -> nn.Module:
    """Replace our pooling and normalisation by PyTorch's, in place: that ours are quick is a part of what is measured.

    Args:
        network: with its layers in `blocks`.
    """
    for index, block in enumerate(network.blocks):
        if isinstance(block, AveragePool2x2):
            network.blocks[index] = nn.AvgPool2d(2)
        elif isinstance(block, LocalResponseNorm):
            network.blocks[index] = nn.LocalResponseNorm(4, alpha=0.001 / 9, beta=0.75, k=1)
    return network


def timed(step: Callable[[int], None], gradient: Callable[[], Tensor], options: Namespace) -> dict[str, Any]:
    """Run the warm-up and the measured steps and return what their meter says, with the first step's gradient.

    Args:
        step: does one, given its number.
        gradient: reads what the last step left.
        options: of the tool.
    """
    meter, answer = Meter(options.warmup, torch.device(options.device)), None
    meter.begin()
    for iteration in range(options.warmup + options.steps):
        step(iteration)
        meter.tick()
        answer = gradient().cpu().clone() if answer is None else answer
    return {**meter.report(), "answer": answer}
