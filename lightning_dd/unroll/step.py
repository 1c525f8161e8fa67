"""One step of training as a pure function, and its vector-Jacobian product."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from lightning_dd.unroll.optimizers import SGD, InnerOptimizer, State

Batch = tuple[Tensor, ...]
"""The objective's arguments besides the weights: images, labels."""

Objective = Callable[..., Tensor]
"""Called with weights and a batch; returns a scalar."""


class InnerStep:
    """A step of an optimizer on an objective.

    Args:
        objective: a pure function of weights and batch, twice differentiable.
        optimizer: SGD by default.
        compile: compile the whole step, and its vector-Jacobian product: a compiled network cannot be differentiated
            twice. The result is the same to rounding.
    """

    def __init__(self, objective: Objective, optimizer: InnerOptimizer | None = None, compile: bool = False) -> None:
        self.objective, self.optimizer = objective, optimizer or SGD()
        self._plain, self._pull_back = self._eager_plain, self._eager_pull_back
        if compile:
            self._plain = torch.compile(self._pure_plain, dynamic=False)
            self._pull_back = torch.compile(self._pure_pull_back, dynamic=False)

    def __call__(self, state: State, batch: Batch, step_size: Tensor, number: Tensor) -> State:
        """Return the next state, without a graph."""
        with torch.no_grad():
            return self._plain(state, batch, step_size, number)

    def with_graph(self, state: State, batch: Batch, step_size: Tensor, number: Tensor) -> State:
        """Return the next state with its graph; the weights must require gradients."""
        (gradient,) = torch.autograd.grad(self.objective(state[0], *batch), state[0], create_graph=True)
        return self.optimizer.update(state, gradient, step_size, number)

    def pull_back(
        self, state: State, batch: Batch, step_size: Tensor, number: Tensor, cotangents: State
    ) -> tuple[State, Batch, Tensor]:
        """Return the vector-Jacobian product of a step from the cotangents of the next state.

        They are those of the state before, the floating tensors of the batch, and the step size.
        """
        return self._pull_back(state, batch, step_size, number, cotangents)

    def _eager_plain(self, state: State, batch: Batch, step_size: Tensor, number: Tensor) -> State:
        with torch.enable_grad():
            weights = state[0].detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.objective(weights, *batch), weights)
        return self.optimizer.update(state, gradient, step_size, number)

    def _eager_pull_back(
        self, state: State, batch: Batch, step_size: Tensor, number: Tensor, cotangents: State
    ) -> tuple[State, Batch, Tensor]:
        state, batch, (step_size,) = leaves_of(state), leaves_of(batch), leaves_of((step_size,))
        floating = [tensor for tensor in batch if tensor.requires_grad]
        with torch.enable_grad():
            after = self.with_graph(state, batch, step_size, number)
        found = torch.autograd.grad(after, (*state, *floating, step_size), cotangents, materialize_grads=True)
        return found[: len(state)], found[len(state) : -1], found[-1]

    def _pure_plain(self, state: State, batch: Batch, step_size: Tensor, number: Tensor) -> State:
        gradient = torch.func.grad(self.objective)(state[0], *batch)
        return self.optimizer.update(state, gradient, step_size, number)

    def _pure_pull_back(
        self, state: State, batch: Batch, step_size: Tensor, number: Tensor, cotangents: State
    ) -> tuple[State, Batch, Tensor]:
        places = [place for place, tensor in enumerate(batch) if tensor.is_floating_point()]

        def step(state: State, floating: Batch, step_size: Tensor) -> State:
            values = dict(zip(places, floating, strict=True))
            whole = (values.get(place, tensor) for place, tensor in enumerate(batch))
            return self._pure_plain(state, tuple(whole), step_size, number)

        return torch.func.vjp(step, state, tuple(batch[place] for place in places), step_size)[1](cotangents)


def leaves_of(tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """Return the same values without their graphs; floating ones require gradients."""
    return tuple(tensor.detach().requires_grad_(tensor.is_floating_point()) for tensor in tensors)
