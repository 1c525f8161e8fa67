"""Segments of expert trajectories: the networks of trajectory matching."""

from typing import NamedTuple

import torch
from torch import Tensor

from lightning_dd.errors import OptionError
from lightning_dd.experts.trajectories import Trajectories
from lightning_dd.networks import Network
from lightning_dd.rng import generator
from lightning_dd.runtime.flops import forward_operations
from lightning_dd.runtime.options import NonNegativeInt, PositiveInt
from lightning_dd.training.sources import NetworkSource, SourceContext
from lightning_dd.unroll.functional import FlatNetwork


class Segment(NamedTuple):
    """An expert's weights `(W,)` at the student's start and some epochs later; the number keys the student's draws."""

    number: int
    start: Tensor
    target: Tensor


class ExpertSegments(NetworkSource):
    """Segments of recorded experts, which take turns in a random order, from random epochs (MTT, arXiv 2203.11932).

    Args:
        folder: of the experts.
        epochs: M, from a segment's start to its target.
        max_start_epoch: T+; segments start at epochs up to T+ - 1.
        min_start_epoch: T-, the first epoch that segments start at (DATM, arXiv 2310.05773).
        first_max_start_epoch: T, the upper end at the first step, if below T+; None is T+ from the first step on.
        expansion_steps: after how many steps the upper end is T+.
        per_step: segments of a step, shared out among processes.

    Raises:
        OptionError: an option is out of its range, or does not go with another.
    """

    gives = "expert segments"
    trajectories: Trajectories
    flat: FlatNetwork
    """The experts' architecture as a function of a vector of weights."""

    def __init__(
        self,
        folder: str,
        epochs: PositiveInt = 2,
        max_start_epoch: PositiveInt = 20,
        min_start_epoch: NonNegativeInt = 0,
        first_max_start_epoch: PositiveInt | None = None,
        expansion_steps: PositiveInt | None = None,
        per_step: PositiveInt = 1,
    ) -> None:
        first = max_start_epoch if first_max_start_epoch is None else min(first_max_start_epoch, max_start_epoch)
        if min_start_epoch >= first:
            limits = f"{{first_max_start_epoch}} and {{max_start_epoch}} ({first})"
            raise OptionError("min_start_epoch", f"must be below {limits}, got {min_start_epoch}")
        if (expansion_steps is None) != (first_max_start_epoch is None):
            raise OptionError("first_max_start_epoch", "goes with {expansion_steps}: give both, or neither")
        self.folder, self.epochs, self.per_step = folder, epochs, per_step
        self.min_start_epoch, self.max_start_epoch = min_start_epoch, max_start_epoch
        self.first_max_start_epoch, self.expansion_steps = first, expansion_steps

    def setup(self, context: SourceContext) -> None:
        """Open the experts.

        Raises:
            UserError: they do not go with the run.
        """
        super().setup(context)
        self.use(Trajectories(self.folder), context.build(generator(context.seed, "network", 0, context.device)))
        self.trajectories.check(context.data, self.flat.network, self.max_start_epoch - 1 + self.epochs)
        self.prepared = {"seconds": self.trajectories.seconds, "operations": self._operations(context)}

    def _operations(self, context: SourceContext) -> int:
        """Return about how many operations the experts' training took: a step is three forward passes."""
        theirs = self.trajectories.description
        steps = len(self.trajectories) * theirs["training"]["epochs"] * (2 if any(theirs["training"]["gsam"]) else 1)
        images = steps * theirs["data"]["num_images"]
        return 3 * images * forward_operations(context.sample().eval(), context.image_shape)

    def use(self, trajectories: Trajectories, network: Network) -> None:
        """Take experts, and a network of their architecture whose own weights are not used."""
        self.trajectories, self.flat = trajectories, FlatNetwork(network.train())

    def at(self, iteration: int) -> list[Segment]:
        """Return this process's share of a step's segments."""
        numbers = range(self.context.rank, self.per_step, self.context.world_size)
        return [self.segment(iteration * self.per_step + number, iteration) for number in numbers]

    def segment(self, number: int, iteration: int) -> Segment:
        """Return a segment of the run; the range of epochs may depend on the iteration."""
        seed, experts = self.context.seed, len(self.trajectories)
        turn, place = divmod(number, experts)
        expert = torch.randperm(experts, generator=generator(seed, "experts", turn))[place].item()
        draws = generator(seed, "start epoch", number)
        epoch = torch.randint(self.min_start_epoch, self.upper_end(iteration), (), generator=draws).item()
        return Segment(number, *(self.trajectories.weights(expert, at) for at in (epoch, epoch + self.epochs)))

    def upper_end(self, iteration: int) -> int:
        """Return the epoch below which segments start at an iteration."""
        if self.expansion_steps is None:
            return self.max_start_epoch
        grown = (self.max_start_epoch - self.first_max_start_epoch) * iteration // self.expansion_steps
        return min(self.max_start_epoch, self.first_max_start_epoch + grown)
