"""Optimizers of synthetic sets, beyond those of PyTorch."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class LAMB(Optimizer):
    """Adam's direction, scaled to the norm of the tensor that it changes (arXiv 1904.00962), as optax has it.

    With Adam's bias-corrected moments, `u = m / (sqrt(v) + eps)` and `p <- p - lr (||p|| / ||u||) u`; the ratio is 1
    where either norm is 0, and neither clamped nor skipped. Norms are over the whole tensor: one ratio for all images.

    Args:
        params: tensors or groups of them.
        lr: learning rate.
        betas: decay rates of the two moments.
        eps: added to the root of the second.
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 3e-4, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-6
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every tensor that has a gradient; return what the closure returns, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for tensor in group["params"]:
                if tensor.grad is not None:
                    direction = self._direction(tensor, group["betas"], group["eps"])
                    tensor.sub_(_trust_ratio(tensor, direction) * group["lr"] * direction)
        return loss

    def _direction(self, tensor: Tensor, betas: tuple[float, float], eps: float) -> Tensor:
        state = self.state[tensor]
        if not state:
            state.update(step=0, exp_avg=torch.zeros_like(tensor), exp_avg_sq=torch.zeros_like(tensor))
        state["step"] += 1
        first = state["exp_avg"].lerp_(tensor.grad, 1 - betas[0])
        second = state["exp_avg_sq"].mul_(betas[1]).addcmul_(tensor.grad, tensor.grad, value=1 - betas[1])
        mean, square = (m / (1 - beta ** state["step"]) for m, beta in zip((first, second), betas, strict=True))
        return mean / (square.sqrt() + eps)


class AdamWTowards(torch.optim.AdamW):
    """AdamW whose decay draws a tensor towards some value and not towards zero.

    Args:
        params: tensors or groups of them.
        lr: learning rate.
        decay: times the learning rate, the share of the distance from that value which a step takes away.
        value: broadcast over each tensor.
    """

    def __init__(self, params: Iterable[Any], lr: float, decay: float, value: Tensor) -> None:
        super().__init__(params, lr, weight_decay=0.0)
        self.decay, self.value = decay, value

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Decay, and make Adam's step."""
        for group in self.param_groups:
            for tensor in group["params"]:
                tensor.lerp_(self.value.to(tensor).expand_as(tensor), group["lr"] * self.decay)
        return super().step(closure)


def _trust_ratio(tensor: Tensor, direction: Tensor) -> Tensor:
    norms = tensor.norm(), direction.norm()
    ratio = norms[0] / norms[1]
    return torch.where((norms[0] > 0) & (norms[1] > 0), ratio, torch.ones_like(ratio))


@torch.no_grad()
def step_where(accepted: Tensor | None, optimizer: Any) -> None:
    """Make a step of the optimizer, and undo it where it is not accepted, without waiting for the device.

    Args:
        accepted: a boolean scalar on the device; None is always.
        optimizer: counts the step either way.
    """
    if accepted is None:
        return optimizer.step()
    state = getattr(optimizer, "optimizer", optimizer).state  # Lightning wraps optimizers
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    before = [(p, p.clone(), {k: v.clone() for k, v in state[p].items() if torch.is_tensor(v)}) for p in parameters]
    optimizer.step()
    for parameter, values, kept in before:
        parameter.copy_(torch.where(accepted, parameter, values))
        for name, tensor in state[parameter].items():
            if torch.is_tensor(tensor):  # what the first step makes starts at zero
                tensor.copy_(torch.where(accepted, tensor, kept.get(name, torch.zeros_like(tensor))))
