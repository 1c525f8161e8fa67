"""A pool of networks of staggered ages, as FRePo trains on (arXiv 2206.00719)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lightning_dd.errors import UserError
from lightning_dd.networks.base import Network
from lightning_dd.networks.build import NetworkFactory, build
from lightning_dd.rng import generator

ON_THE_HOST = ("ages", "updates")  # small numbers that decide what is done: a GPU need not be waited for


class NetworkPool:
    """Networks that are trained one Adam step at a time, each drawn anew when it is old.

    At every iteration one member is drawn, uniformly and with replacement. It serves the objective and is then trained
    for one step, or starts again once it is older than `max_age`. The members' weights lie in stacked tensors; one
    module has the weights of the member in use, so that it is compiled once for all.

    Args:
        factory: builds a network for an image shape and a number of classes.
        image_shape: `(C, H, W)`.
        num_classes: outputs of the network.
        seed: the run's seed.
        size: number of members; member i starts at age `i * (max_age // size)`, so that they do not start again
            together.
        max_age: a member older than this starts again, at age 0.
        lr: learning rate of Adam.
        compile: train through `torch.compile`.

    Raises:
        UserError: at the first use, where the network is none of this package's: it has no features and cannot draw its
            weights anew.
    """

    def __init__(
        self,
        factory: NetworkFactory,
        image_shape: tuple[int, int, int],
        num_classes: int,
        seed: int,
        size: int = 10,
        max_age: int = 100,
        lr: float = 3e-4,
        compile: bool = False,
    ) -> None:
        self.factory = factory
        self.image_shape = image_shape
        self.num_classes = num_classes
        self.seed = seed
        self.size = size
        self.max_age = max_age
        self.lr = lr
        self.compile = compile
        self._network: Network | None = None
        self._state: dict[str, Tensor] = {}

    def at(self, iteration: int, device: torch.device) -> Network:
        """Return the network of an iteration, in eval mode, its weights without gradients.

        It is the same object every time, with the weights of the member that the iteration draws.
        """
        self._prepare(device)
        self._fetch(self._member(iteration))
        return self._network.eval().requires_grad_(False)

    def update(self, iteration: int, loss: Callable[[nn.Module], Tensor]) -> None:
        """Train the member of an iteration for one step of Adam, or let it start again if it is too old.

        Args:
            iteration: of which `at` gave the network.
            loss: called with the network in train mode; returns a scalar.
        """
        member = self._member(iteration)
        if self._state["ages"][member] > self.max_age:
            self._start(member, generator(self.seed, "pool/restart", iteration, self._device))
            return
        self._fetch(member)
        self._network.train().requires_grad_(True)
        self._network.zero_grad()
        loss(self._trained).backward()
        self._adam_step(member)
        self._store(member)
        self._state["ages"][member] += 1

    def state_dict(self) -> dict[str, Tensor]:
        """Return all members, stacked: weights, running statistics, moments, ages; empty before the first use."""
        return dict(self._state)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back what `state_dict` returned."""
        self._state = {name: tensor.clone() for name, tensor in state.items()}

    @property
    def _device(self) -> torch.device:
        return next(self._network.parameters()).device

    def _member(self, iteration: int) -> int:
        return int(torch.randint(self.size, (), generator=generator(self.seed, "pool/member", iteration)))

    def _prepare(self, device: torch.device) -> None:
        """Build the module and, unless a checkpoint gave them, the members."""
        if self._network is not None:
            return
        weights = generator(self.seed, "pool/start", 0, device)
        self._network = build(self.factory, self.image_shape, self.num_classes, weights, device)
        if not isinstance(self._network, Network):
            name = type(self._network).__name__
            raise UserError(f"A pool needs a network with features that can start again, and {name} is none.")
        self._trained = torch.compile(self._network, dynamic=False) if self.compile else self._network
        self._adam = torch.optim.Adam(self._network.parameters(), self.lr)
        if self._state:
            kept = {name: tensor for name, tensor in self._state.items() if name in ON_THE_HOST}
            self._state = {name: tensor.to(device) for name, tensor in self._state.items()} | kept
            return
        empty = {f"network.{name}": tensor for name, tensor in self._network.state_dict().items()}
        for name, parameter in self._network.named_parameters():
            empty |= {f"{moment}.{name}": parameter for moment in ("exp_avg", "exp_avg_sq")}
        self._state = {name: tensor.new_zeros(self.size, *tensor.shape) for name, tensor in empty.items()}
        self._state |= {name: torch.zeros(self.size, dtype=torch.long) for name in ON_THE_HOST}
        for member in range(self.size):
            self._start(member, generator(self.seed, "pool/start", member, device))
            self._state["ages"][member] = member * (self.max_age // self.size)

    def _start(self, member: int, weights: torch.Generator) -> None:
        for tensor in self._state.values():
            tensor[member] = 0
        self._network.initialize(weights)
        self._store(member)

    def _fetch(self, member: int) -> None:
        for name, tensor in self._network.state_dict().items():
            tensor.copy_(self._state[f"network.{name}"][member])

    def _store(self, member: int) -> None:
        for name, tensor in self._network.state_dict().items():
            self._state[f"network.{name}"][member] = tensor

    def _adam_step(self, member: int) -> None:
        """Let PyTorch's Adam work on the member's moments: its state is made of views into the stacked tensors."""
        updates = self._state["updates"][member]
        for name, parameter in self._network.named_parameters():
            moments = {moment: self._state[f"{moment}.{name}"][member] for moment in ("exp_avg", "exp_avg_sq")}
            self._adam.state[parameter] = {"step": updates.float(), **moments}
        self._adam.step()
        self._state["updates"][member] = updates + 1
