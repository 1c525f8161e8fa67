"""Optimizers as pure functions of state, gradient and step size, differentiable in all three."""

from dataclasses import dataclass

import torch
from torch import Tensor

State = tuple[Tensor, ...]
"""The weights and, after them, the optimizer's memory: all of one shape."""


@dataclass(frozen=True)
class SGD:
    """Gradient descent, as `torch.optim.SGD`; without momentum, it keeps no velocity."""

    momentum: float = 0.0

    def start(self, weights: Tensor) -> State:
        """Return the weights, and a velocity of zero where there is momentum."""
        return (weights, torch.zeros_like(weights)) if self.momentum else (weights,)

    def update(self, state: State, gradient: Tensor, step_size: Tensor, number: Tensor) -> State:
        """Return `w - η v` and `v`, where `v <- μ v + g`.

        Args:
            state: from `start` or the step before.
            gradient: of the loss, in the shape of the weights.
            step_size: η, a scalar.
            number: a scalar that counts the steps from 1.
        """
        if not self.momentum:
            return (torch.addcmul(state[0], step_size, gradient, value=-1),)
        weights, velocity = state
        velocity = torch.add(gradient, velocity, alpha=self.momentum)
        return torch.addcmul(weights, step_size, velocity, value=-1), velocity


@dataclass(frozen=True)
class Adam:
    """Adam (arXiv 1412.6980), as `torch.optim.Adam`."""

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    # The derivative of a root at 0 is infinite: a weight that has had no gradient (a dead unit) would give NaN.
    smallest = 1e-30

    def start(self, weights: Tensor) -> State:
        """Return the weights and two moments of zero."""
        return weights, torch.zeros_like(weights), torch.zeros_like(weights)

    def update(self, state: State, gradient: Tensor, step_size: Tensor, number: Tensor) -> State:
        """Return `w - η m̂ / (sqrt(v̂) + eps)`, `m` and `v`, the hats dividing out the start at zero."""
        weights, mean, square = state
        first, second = self.betas
        mean = torch.lerp(mean, gradient, 1 - first)
        square = torch.lerp(square, gradient.square(), 1 - second)
        root = (square / (1 - second**number)).clamp_min(self.smallest).sqrt()
        return weights - step_size / (1 - first**number) * mean / (root + self.eps), mean, square


InnerOptimizer = SGD | Adam
