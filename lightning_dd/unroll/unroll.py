"""Training a network for some steps, differentiably in what it is trained on and in the step sizes.

Two forms give one result. The full graph keeps every activation of every step until the backward pass. Recomputation
keeps the weights before each step only, and goes backwards step by step (arXiv 1811.10959, section 3.2): with d the
gradient with respect to the weights after step t, one vector-Jacobian product of that step, computed anew, gives those
with respect to the weights before it, its batch and its step size.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from lightning_dd.unroll.optimizers import State
from lightning_dd.unroll.step import Batch, InnerStep

Inputs = tuple[Tensor, ...]
"""What the batches are made of: all synthetic images, their labels."""

Batches = Callable[[Inputs, int], Batch]
"""Called with the inputs and the index of a step; returns its batch, as a pure function."""


def unroll(
    step: InnerStep,
    weights: Tensor,
    inputs: Inputs,
    batches: Batches,
    step_sizes: Tensor,
    start: int = 0,
    recompute: bool = True,
    keep_every: int = 1,
) -> Tensor:
    """Return the weights after all steps, differentiable in weights, inputs and step sizes.

    Runs in full precision whatever autocast says, forwards and backwards: second derivatives do not survive less.

    Args:
        step: the objective and the optimizer.
        weights: before the first step, `(W,)`, or `(S, W)` for S networks at once.
        inputs: what the batches are made of; a gradient goes to those that are floating.
        batches: gives the batch of step t, the same one whenever it is asked (augmentation is drawn under a key).
        step_sizes: `(T,)`, one a step; a single learned one comes expanded.
        start: steps before this index are run but not differentiated (truncation).
        recompute: keep the weights (and what the optimizer remembers) of each step in place of its whole graph.
        keep_every: with `recompute`, keep the weights of every so many steps and find the others anew, at the price of
            one more forward pass.

    Returns:
        Weights of the shape of `weights`.
    """
    numbers = torch.arange(1, len(step_sizes) + 1, dtype=weights.dtype, device=weights.device)
    plan = _Plan(step, batches, numbers, start, keep_every)
    with _full_precision(weights):
        state = step.optimizer.start(weights)
        if start:
            state = plan.run(state, inputs, step_sizes.detach(), range(start))[-1]
        if recompute:
            return _Recomputed.apply(plan, step_sizes, len(state), *state, *inputs)
        if not state[0].requires_grad:
            state = (state[0].detach().requires_grad_(), *state[1:])
        for t in plan.steps:
            state = step.with_graph(state, batches(inputs, t), step_sizes[t], numbers[t])
        return state[0]


@dataclass(frozen=True)
class _Plan:
    """What stays the same through the steps."""

    step: InnerStep
    batches: Batches
    numbers: Tensor
    start: int
    keep_every: int

    @property
    def steps(self) -> range:
        return range(self.start, len(self.numbers))

    def run(self, state: State, inputs: Inputs, step_sizes: Tensor, steps: range) -> list[State]:
        """Return the states before each of these steps and after the last, without a graph."""
        states = [state]
        with torch.no_grad():
            for t in steps:
                states.append(self.step(states[-1], self.batches(inputs, t), step_sizes[t], self.numbers[t]))
        return states


class _Recomputed(torch.autograd.Function):
    """The steps forwards without a graph, and backwards one at a time."""

    @staticmethod
    def forward(ctx: FunctionCtx, plan: _Plan, step_sizes: Tensor, num_states: int, *tensors: Tensor) -> Tensor:
        state, inputs = tensors[:num_states], tensors[num_states:]
        ctx.plan, ctx.kept = plan, []
        for part in _parts(plan.steps, plan.keep_every):
            ctx.kept.append(state)
            for t in part:
                state = plan.step(state, plan.batches(inputs, t), step_sizes[t], plan.numbers[t])
        ctx.save_for_backward(step_sizes, *inputs)
        return state[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        plan, (step_sizes, *inputs) = ctx.plan, ctx.saved_tensors
        leaves = tuple(tensor.detach().requires_grad_(tensor.is_floating_point()) for tensor in inputs)
        cotangents = (gradient, *(torch.zeros_like(gradient) for _ in ctx.kept[0][1:]))
        of_sizes = torch.zeros_like(step_sizes)
        parts = _parts(plan.steps, plan.keep_every)
        with _full_precision(gradient):
            for part, state in zip(reversed(parts), reversed(ctx.kept), strict=True):
                states = plan.run(state, inputs, step_sizes, part[:-1])
                for t in reversed(part):
                    with torch.enable_grad():
                        batch = plan.batches(leaves, t)
                    cotangents, of_batch, of_sizes[t] = plan.step.pull_back(
                        states.pop(),
                        tuple(tensor.detach() for tensor in batch),
                        step_sizes[t],
                        plan.numbers[t],
                        cotangents,
                    )
                    _accumulate(batch, of_batch, leaves)
        return None, of_sizes, None, *cotangents, *(leaf.grad for leaf in leaves)


def _accumulate(batch: Batch, of_batch: Batch, leaves: Inputs) -> None:
    """Add the gradients of what a batch was made of to those of the steps after it."""
    floating = [tensor for tensor in batch if tensor.is_floating_point()]
    pairs = [(tensor, grad) for tensor, grad in zip(floating, of_batch, strict=True) if tensor.requires_grad]
    if pairs:
        inputs = [leaf for leaf in leaves if leaf.requires_grad]
        torch.autograd.backward([tensor for tensor, _ in pairs], [grad for _, grad in pairs], inputs=inputs)


def _parts(steps: range, length: int) -> list[range]:
    return [steps[first : first + length] for first in range(0, len(steps), length)]


def _full_precision(tensor: Tensor) -> AbstractContextManager:
    return torch.autocast(tensor.device.type, enabled=False)
