"""Training whose gradient sees each step by itself, with the weights before it held constant (TESLA, arXiv 2211.10586).

With `θ_N = θ_0 - Σ η_n g_n`, g_n being the gradient at θ_n on batch n, the derivative through g_n alone is kept: how a
batch moves its own step, not how it moves the later ones. It costs less than that of `unroll`.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from lightning_dd.unroll.step import Objective, leaves_of
from lightning_dd.unroll.unroll import Batches, Inputs


def unroll_first_order(
    objective: Objective, weights: Tensor, inputs: Inputs, batches: Batches, step_sizes: Tensor
) -> Tensor:
    """Return the weights `(W,)` of `unroll` by SGD, without a gradient in the first ones; see there.

    Keeps the weights before each step, and the graph of one step at a time.

    Args:
        objective: a function of weights and batch, twice differentiable.
        weights: before the first step, `(W,)`.
        inputs: source of the batches; a gradient goes to those that are floating.
        batches: gives the batch of step n, the same one at every call.
        step_sizes: `(N,)`.
    """
    with torch.autocast(weights.device.type, enabled=False):
        return _FirstOrder.apply(objective, batches, step_sizes, weights.detach(), *inputs)


class _FirstOrder(torch.autograd.Function):
    """The steps forward without a graph, and each once more, with one, in the backward pass."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, objective: Objective, batches: Batches, step_sizes: Tensor, weights: Tensor, *inputs: Tensor
    ) -> Tensor:
        ctx.objective, ctx.batches, ctx.kept = objective, batches, []
        for n, step_size in enumerate(step_sizes):
            ctx.kept.append(weights)
            leaf = weights.detach().requires_grad_()
            batch = batches(inputs, n)
            with torch.enable_grad():
                (gradient,) = torch.autograd.grad(objective(leaf, *batch), leaf)
            weights = torch.addcmul(weights, step_size, gradient, value=-1)
        ctx.save_for_backward(step_sizes, *inputs)
        return weights

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, cotangent: Tensor) -> tuple[Any, ...]:
        step_sizes, *inputs = ctx.saved_tensors
        leaves = leaves_of(inputs)
        learned = [leaf for leaf in leaves if leaf.requires_grad]
        of_sizes = torch.zeros_like(step_sizes)
        with torch.autocast(cotangent.device.type, enabled=False), torch.enable_grad():
            for n, weights in enumerate(ctx.kept):
                weights = weights.detach().requires_grad_()
                loss = ctx.objective(weights, *ctx.batches(leaves, n))
                (gradient,) = torch.autograd.grad(loss, weights, create_graph=True)
                of_sizes[n] = -(gradient.detach() * cotangent).sum()
                torch.autograd.backward(gradient, -step_sizes[n] * cotangent, inputs=learned)
        return None, None, of_sizes, None, *(leaf.grad for leaf in leaves)
