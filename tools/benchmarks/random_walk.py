"""Experts that walk at random, in place of recorded ones: where an expert goes does not matter to a clock."""

import torch
from torch import Tensor, nn

from lightning_dd.methods import MTT
from lightning_dd.networks import NetworkFactory, build
from lightning_dd.rng import generator

STRIDE = 0.01  # of a weight, in an epoch
LAST_EPOCH = 50


class RandomWalk:
    """One expert: random weights, and a step further in one direction each epoch.

    Args:
        factory: builds the network.
        image_shape: `(C, H, W)`.
        num_classes: number of classes.
        seed: of the draws.
    """

    def __init__(self, factory: NetworkFactory, image_shape: tuple[int, int, int], num_classes: int, seed: int) -> None:
        draws = generator(seed, "expert")
        self.network = build(factory, image_shape, num_classes, draws)
        self.start = nn.utils.parameters_to_vector(self.network.parameters()).detach()
        self.stride = STRIDE * torch.randn(self.start.shape, generator=draws)

    def __len__(self) -> int:
        return 1

    def weights(self, index: int, epoch: int) -> Tensor:
        """Return the weights `(W,)` after an epoch."""
        return self.start + epoch * self.stride

    def final(self, index: int) -> Tensor:
        """Return the weights `(W,)` in the end."""
        return self.weights(index, LAST_EPOCH)

    def check(self, *_: object) -> None:
        """Go with any run."""


def walking(method: type[MTT]) -> type[MTT]:
    """Return a method of trajectory matching that needs no experts on disk."""

    class Walking(method):
        def open_experts(self) -> RandomWalk:
            return RandomWalk(self.network, self.image_shape, self.num_classes, self.seed)

    return Walking
