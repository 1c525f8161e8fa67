"""A queue of networks that are trained on real images and grow in number, as IDM has it (CVPR 2023)."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_dd.artifact import schema
from lightning_dd.artifact.synthetic import SyntheticSet
from lightning_dd.data.sampling import Batch
from lightning_dd.rng import generator
from lightning_dd.runtime.compile import compiled
from lightning_dd.runtime.options import PositiveFloat, PositiveInt
from lightning_dd.training.loop import train_network
from lightning_dd.training.sources import RandomNetworks
from lightning_dd.training.states import alike, check_momentum, check_networks, check_tensors

MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4
_MEMBER = {"state": schema.table, "momentum": schema.table, "accuracy": lambda value: isinstance(value, Tensor)}
STATE = {"made": schema.count, "members": [_MEMBER]}
"""The form of a queue in a checkpoint."""


class NetworkQueue(RandomNetworks):
    """Networks of different ages: one serves the objective, some are then trained on real images.

    Args:
        start: networks at first, with random weights: IDM's three, and the one that joins at once.
        every: updates of the images after which a new network with random weights joins.
        largest: networks at most; the oldest leaves.
        per_step: networks that are trained after each update of the images, without augmentation.
        steps: of that training.
        lr: learning rate of that training (SGD with momentum 0.9 and weight decay 5e-4, kept with each network).
        batch_size: real images in a step of that training.

    Attributes:
        accuracy: the share of real images that the network of `at` classified rightly in its last training, a scalar.
    """

    accuracy: Tensor

    def __init__(
        self,
        start: PositiveInt = 4,
        every: PositiveInt = 30,
        largest: PositiveInt = 100,
        per_step: PositiveInt = 2,
        steps: PositiveInt = 10,
        lr: PositiveFloat = 0.01,
        batch_size: PositiveInt = 256,
    ) -> None:
        self.start, self.every, self.largest = start, every, largest
        self.per_step, self.steps, self.lr, self.batch_size = per_step, steps, lr, batch_size
        self._members: list[dict[str, Any]] = []
        self._made = 0

    def at(self, iteration: int) -> nn.Module:
        """Return the network of an iteration, drawn uniformly from the queue."""
        while self._made < self.start:
            self._join()
        member = self._members[self._draw("at", iteration)[0]]
        self.accuracy = member["accuracy"].to(self.context.device)
        return self._fetch(member).train().requires_grad_(self.context.trainable)

    def update(self, iteration: int, synthetic: SyntheticSet, batch: Batch) -> None:
        """Train some networks of the queue, and let a new one join where it is time."""
        for place, index in enumerate(self._draw("update", iteration, self.per_step)):
            self._train(self._members[index], iteration, place)
        if (iteration + 1) % self.every == 0:
            self._join()
            del self._members[: -self.largest]

    def state_dict(self) -> dict[str, Any]:
        """Return the networks of the queue: weights, momentum, accuracy."""
        return {"made": self._made, "members": self._members}

    def has_state(self, iteration: int) -> bool:
        """Return whether there are networks."""
        return True

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the networks."""
        check_networks(schema.misfit(state, STATE) is None, "their queue")
        network = self.context.sample()
        for member in state["members"]:
            check_tensors(member["state"], network.state_dict())
            check_momentum(member["momentum"], network)
            check_networks(alike(member["accuracy"], torch.zeros(())), "their accuracy")
        most = max(self.start, self.largest)
        check_networks(
            min(state["made"], self.largest) <= len(state["members"]) <= min(state["made"], most), "their number"
        )
        self._made, self._members = state["made"], state["members"]

    def _draw(self, purpose: str, iteration: int, number: int = 1) -> list[int]:
        draws = generator(self.context.seed, f"queue/{purpose}", iteration)
        return torch.randperm(len(self._members), generator=draws)[:number].tolist()

    def _join(self) -> None:
        network = super().at(self._made)
        state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        self._members.append({"state": state, "momentum": {}, "accuracy": torch.zeros(())})
        self._made += 1

    def _fetch(self, member: dict[str, Any]) -> nn.Module:
        if self.network is None:  # after a checkpoint was loaded
            super().at(0)
        self.network.load_state_dict(member["state"])
        return self.network

    def _train(self, member: dict[str, Any], iteration: int, place: int) -> None:
        network = self._fetch(member).train().requires_grad_(True)
        optimizer = torch.optim.SGD(network.parameters(), self.lr, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
        parameters = dict(network.named_parameters())
        for name, momentum in member["momentum"].items():
            optimizer.state[parameters[name]]["momentum_buffer"] = momentum.to(self.context.device).clone()
        right: list[Tensor] = []

        def loss(logits: Tensor, labels: Tensor) -> Tensor:
            right.append((logits.argmax(1) == labels).float().mean())
            return F.cross_entropy(logits, labels)

        train_network(compiled(network, self.context.compile), self._batches(iteration, place), loss, optimizer)
        optimizer.zero_grad()
        member["state"] = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        member["momentum"] = {name: optimizer.state[p]["momentum_buffer"] for name, p in parameters.items()}
        member["accuracy"] = torch.stack(right).mean()

    def _batches(self, iteration: int, place: int) -> Iterator[tuple[Tensor, Tensor]]:
        count = len(self.context.data.train_labels)
        draws = generator(self.context.seed, "queue/real", iteration * self.per_step + place)
        for _ in range(self.steps):
            yield self.real_examples(torch.randint(count, (self.batch_size,), generator=draws))
