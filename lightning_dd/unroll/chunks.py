"""A loss over many images in parts, so that its memory does not grow with their number."""

from collections.abc import Callable

import torch
from torch import Tensor

from lightning_dd.losses.surrogate import with_gradient
from lightning_dd.unroll.step import Objective

Gradient = Callable[..., tuple[Tensor, Tensor]]
"""Called with weights, images and labels; returns the gradient with respect to the weights, and the value."""


def gradient_of(objective: Objective, compile: bool = False) -> Gradient:
    """Return a function that gives the gradient of an objective with respect to its weights, and its value."""
    if compile:
        return torch.compile(torch.func.grad_and_value(objective), dynamic=False)

    def gradient(weights: Tensor, *batch: Tensor) -> tuple[Tensor, Tensor]:
        weights = weights.detach().requires_grad_()
        with torch.enable_grad():
            value = objective(weights, *batch)
        return torch.autograd.grad(value, weights)[0], value.detach()

    return gradient


def sum_in_chunks(gradient: Gradient, weights: Tensor, images: Tensor, labels: Tensor, chunk: int) -> Tensor:
    """Return an objective that is a sum over images, at most `chunk` of them in one forward and backward.

    Args:
        gradient: of the objective; see `gradient_of`.
        weights: `(W,)`; the result is differentiable in them alone.
        images: `(N, C, H, W)`.
        labels: `(N,)`.
        chunk: largest number of images at once.
    """
    parts = [gradient(weights, *part) for part in zip(images.split(chunk), labels.split(chunk), strict=True)]
    gradients, values = zip(*parts, strict=True)
    return with_gradient(sum(values), weights, sum(gradients))
