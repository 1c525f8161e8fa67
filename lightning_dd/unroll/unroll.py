"""Training a network for some steps, differentiably in its inputs and in the step sizes.

Two forms give one result. The full graph keeps every activation of every step. Recomputation keeps the weights before
each step only, and goes backward by the vector-Jacobian product of one step at a time (arXiv 1811.10959, section 3.2).
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from lightning_dd.unroll.step import Batch, InnerStep, leaves_of

Inputs = tuple[Tensor, ...]
"""The source of the batches: all synthetic images, their labels."""

Batches = Callable[[Inputs, int], Batch]
"""Called with the inputs and the index of a step; returns its batch, as a pure function."""


def mini_batch(
    inputs: Inputs,
    rows: Tensor | None,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None,
    draws: torch.Generator,
) -> Batch:
    """Return some rows of images and labels (None is all), the images augmented under the generator."""
    images, labels = inputs if rows is None else (tensor.index_select(0, rows) for tensor in inputs)
    return images if augment is None else augment(images, draws), labels


def unroll(
    step: InnerStep,
    weights: Tensor,
    inputs: Inputs,
    batches: Batches,
    step_sizes: Tensor,
    start: int = 0,
    recompute: bool = True,
) -> Tensor:
    """Return the weights after all steps, `(W,)`, differentiable in weights, inputs and step sizes.

    Runs in full precision whatever autocast says: second derivatives do not survive less.

    Args:
        step: the objective and the optimizer.
        weights: before the first step, `(W,)`.
        inputs: source of the batches; a gradient goes to those that are floating.
        batches: gives the batch of step t, the same one at every call (augmentation is keyed).
        step_sizes: `(T,)`, one a step; a single learned one comes expanded.
        start: steps before this index are run but not differentiated (truncation).
        recompute: keep the weights (and the optimizer's state) of each step in place of its whole graph.
    """
    numbers = torch.arange(1, len(step_sizes) + 1, dtype=weights.dtype, device=weights.device)
    steps = range(start, len(step_sizes))
    with torch.autocast(weights.device.type, enabled=False):
        state = step.optimizer.start(weights)
        with torch.no_grad():
            for t in range(start):
                state = step(state, batches(inputs, t), step_sizes[t], numbers[t])
        if recompute:
            return _Recomputed.apply((step, batches, steps, numbers), step_sizes, len(state), *state, *inputs)
        if not state[0].requires_grad:
            state = (state[0].detach().requires_grad_(), *state[1:])
        for t in steps:
            state = step.with_graph(state, batches(inputs, t), step_sizes[t], numbers[t])
        return state[0]


class _Recomputed(torch.autograd.Function):
    """The steps forward without a graph, and backward one at a time."""

    @staticmethod
    def forward(ctx: FunctionCtx, plan: tuple, step_sizes: Tensor, num_states: int, *tensors: Tensor) -> Tensor:
        step, batches, steps, numbers = ctx.plan = plan
        state, inputs, ctx.kept = tensors[:num_states], tensors[num_states:], []
        for t in steps:
            ctx.kept.append(state)
            state = step(state, batches(inputs, t), step_sizes[t], numbers[t])
        ctx.save_for_backward(step_sizes, *inputs)
        return state[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (step, batches, steps, numbers), (step_sizes, *inputs) = ctx.plan, ctx.saved_tensors
        leaves = leaves_of(inputs)
        cotangents = (gradient, *(torch.zeros_like(gradient) for _ in ctx.kept[0][1:]))
        of_sizes = torch.zeros_like(step_sizes)
        with torch.autocast(gradient.device.type, enabled=False):
            for t, state in zip(reversed(steps), reversed(ctx.kept), strict=True):
                with torch.enable_grad():
                    batch = batches(leaves, t)
                given = tuple(tensor.detach() for tensor in batch)
                cotangents, of_batch, of_sizes[t] = step.pull_back(state, given, step_sizes[t], numbers[t], cotangents)
                _accumulate(batch, of_batch, leaves)
        return None, of_sizes, None, *cotangents, *(leaf.grad for leaf in leaves)


def _accumulate(batch: Batch, of_batch: Batch, leaves: Inputs) -> None:
    """Add the gradients of a batch's inputs to those of the later steps."""
    floating = [tensor for tensor in batch if tensor.is_floating_point()]
    pairs = [(tensor, grad) for tensor, grad in zip(floating, of_batch, strict=True) if tensor.requires_grad]
    if pairs:
        torch.autograd.backward(*zip(*pairs, strict=True), inputs=[leaf for leaf in leaves if leaf.requires_grad])
