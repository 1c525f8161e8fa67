"""Experts that walk at random, in place of recorded ones: where an expert goes does not matter to a clock."""

import torch
from torch import Tensor

from lightning_dd.experts.segments import ExpertSegments
from lightning_dd.rng import generator
from lightning_dd.training.sources import NetworkSource, SourceContext

STRIDE = 0.01  # of a weight, in an epoch
LAST_EPOCH = 50


class RandomWalk(ExpertSegments):
    """Segments of one expert: random weights, and a step further in one direction each epoch."""

    def __init__(self) -> None:
        super().__init__("", epochs=1, max_start_epoch=1)

    def setup(self, context: SourceContext) -> None:
        """Sample the way of the expert."""
        NetworkSource.setup(self, context)
        draws = generator(context.seed, "expert", device=context.device)
        network = context.build(draws)
        self.use(self, network)
        self.start = self.flat.weights()
        self.stride = STRIDE * torch.randn(self.start.shape, generator=draws, device=context.device)

    def __len__(self) -> int:
        return 1

    def weights(self, index: int, epoch: int) -> Tensor:
        """Return the weights `(W,)` after an epoch."""
        return self.start + epoch * self.stride

    def final(self, index: int) -> Tensor:
        """Return the weights `(W,)` in the end."""
        return self.weights(index, LAST_EPOCH)
