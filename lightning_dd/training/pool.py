"""A pool of networks of staggered ages, as FRePo trains on (arXiv 2206.00719)."""

import torch
from torch import Tensor, nn

from lightning_dd.artifact.synthetic import SyntheticSet
from lightning_dd.data.sampling import Batch
from lightning_dd.errors import UserError
from lightning_dd.networks import Network
from lightning_dd.rng import generator
from lightning_dd.runtime.compile import compiled
from lightning_dd.runtime.options import PositiveFloat, PositiveInt
from lightning_dd.training.sources import NetworkSource
from lightning_dd.training.states import check_networks, check_tensors

ON_THE_HOST = ("ages", "updates")  # small numbers that decide what is done: a GPU need not be waited for


class NetworkPool(NetworkSource):
    """Networks that are trained on the synthetic set one Adam step at a time, each replaced when it is old.

    At every iteration one member is sampled, uniformly and with replacement. It serves the objective, in eval mode,
    and is then trained for one step, or re-initialized once it is older than `max_age`. The members' weights lie in
    stacked tensors; one module, compiled once, has those of the member in use.

    Args:
        size: number of members; member i starts at age `i * (max_age // size)`.
        max_age: a member older than this is re-initialized, at age 0.
        lr: learning rate of Adam.
        batch_size: synthetic images in a step of a member; all of them where there are fewer.

    Raises:
        UserError: at the first use, where the network is none of this package's.
    """

    def __init__(
        self,
        size: PositiveInt = 10,
        max_age: PositiveInt = 100,
        lr: PositiveFloat = 3e-4,
        batch_size: PositiveInt = 1000,
    ) -> None:
        self.size, self.max_age, self.lr, self.batch_size = size, max_age, lr, batch_size
        self._network: Network | None = None
        self._state: dict[str, Tensor] = {}

    def trained(self, iteration: int) -> Network:
        """Return the member of an iteration, which `at` has fetched."""
        return self._network

    def at(self, iteration: int) -> Network:
        """Return the network of an iteration, in eval mode: one object, a member's weights."""
        self._prepare()
        self._fetch(self._member(iteration))
        return self._network.eval().requires_grad_(self.context.trainable)

    def update(self, iteration: int, synthetic: SyntheticSet, batch: Batch) -> None:
        """Train the member of an iteration for one step of Adam, or re-initialize it if it is too old."""
        member = self._member(iteration)
        if self._state["ages"][member] > self.max_age:
            self._start(member, generator(self.context.seed, "pool/restart", iteration, self.context.device))
            return
        self._fetch(member)
        images, targets = self._examples(iteration, synthetic)
        network = self._network.train().requires_grad_(True)
        network.zero_grad()
        with torch.autocast(images.device.type, enabled=False):
            self.context.loss(compiled(network, self.context.compile)(images), targets).backward()
        self._adam_step(member)
        self._store(member)
        self._state["ages"][member] += 1

    def state_dict(self) -> dict[str, Tensor]:
        """Return all members, stacked: weights, running statistics, moments, ages; empty before the first use."""
        return dict(self._state)

    def has_state(self, iteration: int) -> bool:
        """Return whether there are members."""
        return iteration > 0

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore the members."""
        if state:
            check_tensors(state, self._empty(self.context.sample()))
            check_networks(state["ages"].min() >= 0 and state["ages"].max() <= self.max_age + 1, "their ages")
            moments = (tensor for name, tensor in state.items() if name.startswith("exp_avg_sq."))
            check_networks(state["updates"].min() >= 0 and all(each.min() >= 0 for each in moments), "their moments")
        self._state = {name: tensor.clone() for name, tensor in state.items()}

    def _examples(self, iteration: int, synthetic: SyntheticSet) -> tuple[Tensor, Tensor]:
        images, targets = synthetic.images().detach(), synthetic.targets().detach()
        if len(images) <= self.batch_size:
            return images, targets
        draws = generator(self.context.seed, "pool/images", iteration)
        rows = torch.randperm(len(images), generator=draws)[: self.batch_size].to(images.device)
        return images[rows], targets[rows]

    def _member(self, iteration: int) -> int:
        return int(torch.randint(self.size, (), generator=generator(self.context.seed, "pool/member", iteration)))

    def _prepare(self) -> None:
        """Build the module and, unless a checkpoint gave them, the members."""
        if self._network is not None:
            return
        seed, device = self.context.seed, self.context.device
        self._network = self.context.build(generator(seed, "pool/start", 0, device))
        if not isinstance(self._network, Network):
            name = type(self._network).__name__
            raise UserError(f"A pool needs a network with features that can start again, and {name} is none.")
        self._adam = torch.optim.Adam(self._network.parameters(), self.lr)
        if self._state:
            kept = {name: tensor for name, tensor in self._state.items() if name in ON_THE_HOST}
            self._state = {name: tensor.to(device) for name, tensor in self._state.items()} | kept
            return
        self._state = self._empty(self._network)
        for member in range(self.size):
            self._start(member, generator(seed, "pool/start", member, device))
            self._state["ages"][member] = member * (self.max_age // self.size)

    def _empty(self, network: nn.Module) -> dict[str, Tensor]:
        """Return the stacked tensors of members that have not been started."""
        tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
        for name, parameter in network.named_parameters():
            tensors |= {f"{moment}.{name}": parameter.detach() for moment in ("exp_avg", "exp_avg_sq")}
        found = {name: tensor.new_zeros(self.size, *tensor.shape) for name, tensor in tensors.items()}
        return found | {name: torch.zeros(self.size, dtype=torch.long) for name in ON_THE_HOST}

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
        """Step Adam with the member's moments as its state: views into the stacked tensors."""
        updates = self._state["updates"][member]
        for name, parameter in self._network.named_parameters():
            moments = {moment: self._state[f"{moment}.{name}"][member] for moment in ("exp_avg", "exp_avg_sq")}
            self._adam.state[parameter] = {"step": updates.float(), **moments}
        self._adam.step()
        self._state["updates"][member] = updates + 1
