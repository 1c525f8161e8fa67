"""Sources of a method's networks, which are private state: never parameters of the method, never submodules."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_dd.artifact.synthetic import SyntheticSet
from lightning_dd.augmentation.cutmix import mix_some
from lightning_dd.data.sampling import Batch
from lightning_dd.errors import OptionError
from lightning_dd.networks import Network, NetworkFactory, build
from lightning_dd.networks.build import sample, without_dropout
from lightning_dd.rng import generator
from lightning_dd.runtime.compile import compiled
from lightning_dd.runtime.options import (
    CheckedOptions,
    Momentum,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    UnitInterval,
)
from lightning_dd.training.loop import mini_batches, shuffled, train_network
from lightning_dd.training.states import check_momentum, check_tensors
from lightning_dd.unroll.functional import FlatNetwork

CPU = torch.device("cpu")
MOMENTUM = "momentum of "
"""Before the name of a weight, in the state of a source."""


@dataclass(frozen=True)
class SourceContext:
    """The run, as a source of networks sees it.

    Attributes:
        factory: builds a network for an image shape and a number of classes.
        image_shape: `(C, H, W)`.
        num_classes: outputs of the network.
        seed: of the run.
        device: of the networks.
        rank: of this process.
        world_size: number of processes.
        trainable: whether the method differentiates the networks' weights.
        compile: train through `torch.compile`.
        loss: of training on the synthetic set: called with logits and targets.
        augment: of the images that networks are trained on, under a CPU generator.
        data: the data module of the run, set up; None outside a run.
        progress: whether to show progress bars.
    """

    factory: NetworkFactory
    image_shape: tuple[int, int, int]
    num_classes: int
    seed: int
    device: torch.device = CPU
    rank: int = 0
    world_size: int = 1
    trainable: bool = False
    compile: bool = False
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None
    data: Any = None
    progress: bool = False

    def build(self, weights: torch.Generator) -> nn.Module:
        """Return a network that depends on the generator alone: no dropout, whose draws are not keyed."""
        return without_dropout(build(self.factory, self.image_shape, self.num_classes, weights, self.device))

    def sample(self) -> nn.Module:
        """Return a network to inspect, on the CPU."""
        return sample(self.factory, self.image_shape, self.num_classes)


class NetworkSource(CheckedOptions):
    """Gives a method its networks, iteration by iteration."""

    option_group: ClassVar[str] = "model.networks"
    gives: ClassVar[str] = "networks"
    """The kind of what `at` returns: `networks` (a module), `initial weights`, `expert segments` or `no networks`."""
    context: SourceContext
    prepared: dict[str, float] | None = None
    """The cost of its networks before the first step, wherever that was paid: `seconds` and `operations`."""

    def setup(self, context: SourceContext) -> None:
        """Keep the context; called once, before the first step and before a checkpoint is loaded."""
        self.context = context

    def at(self, iteration: int) -> Any:
        """Return the network (or what the method calls so) of an iteration."""
        raise NotImplementedError

    def trained(self, iteration: int) -> Any:
        """Return the network of an iteration as it is after its training, where `at` gives it at earlier weights."""
        return self.at(iteration)

    def update(self, iteration: int, synthetic: SyntheticSet, batch: Batch) -> None:
        """Train or age the network of an iteration after the update of the synthetic set; nothing by default."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {}

    def has_state(self, iteration: int) -> bool:
        """Return whether `state_dict` has something in it before an iteration: a checkpoint without it is damaged."""
        return False

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of `state_dict`.

        Raises:
            UserError: it is not one of this source: it is damaged, or of another run.
        """


class NoNetworks(NetworkSource):
    """No network, for methods that match on none (KIP)."""

    gives = "no networks"

    def at(self, iteration: int) -> None:
        """Return nothing."""


class RandomNetworks(NetworkSource):
    """A network with new random weights at every iteration, in train mode.

    One module is re-initialized in place, so that nothing compiled is lost; a foreign module is built again.
    """

    network: nn.Module | None = None
    """The network that `at` returned last, with what has become of its weights since."""

    def at(self, iteration: int) -> nn.Module:
        """Return the network of an iteration."""
        weights = generator(self.context.seed, "network", iteration, self.context.device)
        if isinstance(self.network, Network):
            self.network.initialize(weights).train()
        else:
            self.network = self.context.build(weights).train().requires_grad_(self.context.trainable)
        return self.network

    def trained(self, iteration: int) -> nn.Module:
        """Return the network of an iteration, which `at` has fetched."""
        return self.network

    def real_examples(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return real images `(n, C, H, W)` at rows `(n,)` and their labels `(n,)`, as the network takes them."""
        data, like = self.context.data, next(self.network.parameters())
        return data.real_images(rows).to(like), data.train_labels[rows].to(like.device)


class TrainedNetworks(RandomNetworks):
    """A random network that lives for some steps and is trained between them (DC, arXiv 2006.05929).

    Args:
        lifetime: updates of the images per network.
        epochs: of training between two updates.
        lr: learning rate of that training (SGD).
        batch_size: images in a step of that training.
        on: what it is trained on: the `synthetic` set or `real` images (IDC, arXiv 2205.14959).
        real_images: how many random real images, where it is trained on those.
        momentum: of that training, kept from one update of the images to the next.
        weight_decay: of that training.
        cutmix: the probability that a mini-batch of that training is mixed by CutMix.
        first_epochs: passes over all real images at the beginning of a network's life (DREAM+, arXiv 2310.15052).
    """

    def __init__(
        self,
        lifetime: PositiveInt = 10,
        epochs: NonNegativeInt = 50,
        lr: PositiveFloat = 0.01,
        batch_size: PositiveInt = 256,
        on: Literal["synthetic", "real"] = "synthetic",
        real_images: PositiveInt = 1000,
        momentum: Momentum = 0.0,
        weight_decay: NonNegativeFloat = 0.0,
        cutmix: UnitInterval = 0.0,
        first_epochs: NonNegativeInt = 0,
    ) -> None:
        self.lifetime, self.epochs, self.lr, self.batch_size = lifetime, epochs, lr, batch_size
        self.on, self.real_images, self.cutmix = on, real_images, cutmix
        self.momentum, self.weight_decay, self.first_epochs = momentum, weight_decay, first_epochs
        self._saved: dict[str, Tensor] = {}
        self._next = 0  # the iteration that comes after the last update

    def at(self, iteration: int) -> nn.Module:
        """Return the network of an iteration: that of the last, unless its life is over."""
        number, age = divmod(iteration, self.lifetime)
        if age and self.network is not None and not self._saved:
            return self.network
        network = self.start(number).requires_grad_(True)
        options = {"momentum": self.momentum, "weight_decay": self.weight_decay}
        self._optimizer = torch.optim.SGD(network.parameters(), self.lr, **options)
        if self._saved:
            self._restore(network)
        elif self.first_epochs:
            draws = generator(self.context.seed, "first epochs", number)
            rows = shuffled(len(self.context.data.train_labels), self.batch_size, self.first_epochs, draws)
            whole, augment = [slice(None)], self.context.augment
            parts = (mini_batches(*self.real_examples(each), whole, augment, draws) for each in rows)
            self._train(chain.from_iterable(parts), draws)
        return network

    def start(self, number: int) -> nn.Module:
        """Return the network of a number at the beginning of its life."""
        return super().at(number)

    def update(self, iteration: int, synthetic: SyntheticSet, batch: Batch) -> None:
        """Train the network, except after its last iteration."""
        self._next = iteration + 1
        if self._next % self.lifetime == 0:
            return
        images, labels = self._examples(iteration, synthetic)
        draws = generator(self.context.seed, "inner training", iteration)
        rows = shuffled(len(images), self.batch_size, self.epochs, draws)
        self._train(mini_batches(images, labels, rows, self.context.augment, draws), draws)

    def _train(self, batches: Iterator[tuple[Tensor, Tensor]], draws: torch.Generator) -> None:
        """Train the network on augmented images and labels, some of them mixed."""
        if self.cutmix:
            batches = mix_some(batches, self.cutmix, self.context.num_classes, draws)
        kind, forward = self.context.device.type, compiled(self.network.train(), self.context.compile)
        # weights change in place, which a cache of their bf16 copies would not notice
        with torch.autocast(kind, enabled=torch.is_autocast_enabled(kind), cache_enabled=False):
            train_network(forward, batches, self.context.loss, self._optimizer)
        self._optimizer.zero_grad()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the network in the middle of its life, and its momentum under names of their own."""
        if self._saved or self.network is None or self._next % self.lifetime == 0:
            return dict(self._saved)  # what was loaded, where no step has been made since
        kept, named = self._optimizer.state, self.network.named_parameters()
        momentum = {MOMENTUM + name: kept[weight]["momentum_buffer"] for name, weight in named if weight in kept}
        return {name: tensor.detach().clone() for name, tensor in {**self.network.state_dict(), **momentum}.items()}

    def has_state(self, iteration: int) -> bool:
        """Return whether a network is in the middle of its life."""
        return iteration % self.lifetime != 0

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore the network; it is built when a step needs it."""
        if state:
            network = self.context.sample()
            momentum = {name.removeprefix(MOMENTUM): state[name] for name in state if name.startswith(MOMENTUM)}
            check_momentum(momentum, network)
            weights = {name: tensor for name, tensor in state.items() if not name.startswith(MOMENTUM)}
            check_tensors(weights, network.state_dict())
        self._saved = dict(state)

    def _restore(self, network: nn.Module) -> None:
        for name, weight in network.named_parameters():
            if MOMENTUM + name in self._saved:
                self._optimizer.state[weight]["momentum_buffer"] = self._saved.pop(MOMENTUM + name).to(weight)
        network.load_state_dict(self._saved)
        self._saved = {}

    def _examples(self, iteration: int, synthetic: SyntheticSet) -> tuple[Tensor, Tensor]:
        if self.on == "synthetic":
            return synthetic.images().detach(), synthetic.targets().detach()
        draws = generator(self.context.seed, "inner training/real", iteration)
        return self.real_examples(
            torch.randperm(len(self.context.data.train_labels), generator=draws)[: self.real_images]
        )


class InitialWeights(RandomNetworks):
    """Initial weights, one vector a network (DD, RaT-BPTT).

    Args:
        per_step: networks of a step, shared out among processes.
        fixed: the same weights at every step.
    """

    gives = "initial weights"
    flat: FlatNetwork
    """The architecture as a function of a vector of weights."""

    def __init__(self, per_step: PositiveInt = 1, fixed: bool = False) -> None:
        if fixed and per_step > 1:
            raise OptionError("fixed", "means one network: leave {per_step} out")
        self.per_step, self.fixed = per_step, fixed

    def setup(self, context: SourceContext) -> None:
        """Keep the context, and make a function of the architecture."""
        super().setup(context)
        self.flat = FlatNetwork(super().at(0))

    def at(self, iteration: int) -> list[Tensor]:
        """Return this process's share of the vectors, `(W,)` each."""
        first, share = 0 if self.fixed else iteration * self.per_step, range(self.per_step)
        if self.per_step > 1:  # otherwise every process takes the one network
            share = share[self.context.rank :: self.context.world_size]
        return [self.flat.weights(super(InitialWeights, self).at(first + index)) for index in share]
