"""FRePo: one update of images and labels and of a network of the pool, the plain form against ours."""

from argparse import Namespace
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.sides import PLAIN, USUAL, Side, sweep
from benchmarks.worker import common, with_library_operations
from lightning_dd.artifact.synthetic import SyntheticSet
from lightning_dd.data.sampling import Batch
from lightning_dd.losses import centered_targets
from lightning_dd.methods import FRePo
from lightning_dd.networks import FRePoNet
from lightning_dd.rng import generator
from lightning_dd.training.sources import NetworkSource, SourceContext
from reference import frepo

SIDES = USUAL
SWEEP = {PLAIN: Side("plain"), **sweep("real_chunk", 32, 64, 128, 256, 512, 1024)}
OPTIONS = {
    "real_batch": (1024, "real images in a step"),
    "no_flip": (False, "without mirrored copies, as published for digits"),
}
DEFAULTS = {"steps": 4, "warmup": 2}


def real_images(options: Namespace) -> int:
    """Return how many real images there are."""
    return max(10_000, options.real_batch)


def method(side: Side, options: Namespace) -> FRePo:
    """Return the method; small images survive two poolings."""
    network = partial(FRePoNet, width=options.width, depth=2 if min(options.shape[1:]) < 16 else 3)
    settings = {"real_batch": options.real_batch, "flip": not options.no_flip, "lr_decay": 1.0}
    return FRePo(**settings, **{**common(side, options), "network": network})


def loss(method: FRePo, network: nn.Module, batch: Batch) -> Tensor:
    """Return the plain objective."""
    images, labels = method.synthetic.images(), method.synthetic.targets()
    targets = centered_targets(batch.labels, method.num_classes)
    return frepo.loss(network.features, batch.images, targets, images, labels, method.flip)


def networks(method: FRePo) -> "Pool":
    """Return the plain form of the method's pool."""
    return Pool(method)


class Pool(NetworkSource):
    """The pool as a list of networks, each with an optimizer of its own.

    Args:
        method: has its size and the learning rate and the largest age of its members.
    """

    def __init__(self, method: FRePo) -> None:
        self.method = method

    def setup(self, context: SourceContext) -> None:
        """Make the members."""
        self.context, stride = context, self.method.max_age // self.method.pool_size
        starts = [
            generator(context.seed, "pool/start", member, context.device) for member in range(self.method.pool_size)
        ]
        self.members = [self._member(context.build(start), member * stride) for member, start in enumerate(starts)]

    def at(self, iteration: int) -> nn.Module:
        """Return the network of an iteration."""
        return self.members[self._place(iteration)].network.eval().requires_grad_(False)

    def update(self, iteration: int, synthetic: SyntheticSet, batch: Batch) -> None:
        """Train the network of an iteration, or replace it."""
        place = self._place(iteration)
        if self.members[place].age <= self.method.max_age:
            return self.members[place].train(synthetic.images().detach(), synthetic.targets().detach())
        weights = generator(self.context.seed, "pool/restart", iteration, self.context.device)
        self.members[place] = self._member(self.context.build(weights), 0)

    def _member(self, network: nn.Module, age: int) -> frepo.Member:
        return frepo.Member(with_library_operations(network), age, self.method.pool_lr)

    def _place(self, iteration: int) -> int:
        draw = generator(self.context.seed, "pool/member", iteration)
        return int(torch.randint(self.method.pool_size, (), generator=draw))
