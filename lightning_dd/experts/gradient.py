"""The gradient that experts are trained by."""

from torch import Tensor
from torch.nn import functional as F

from lightning_dd.unroll.chunks import Gradient

TINY = 1e-12


def gsam(gradient: Gradient, rho: float, alpha: float) -> Gradient:
    """Return a function that gives the direction of adaptive GSAM (arXiv 2203.08065) in place of a gradient.

    With g the gradient at w, the perturbed weights are `w + ρ w² g / |w g|`, and g' the gradient there. The direction
    is `g' - α g⊥`, g⊥ being the part of g orthogonal to g'. FTD's and DATM's experts are trained by it.
    """

    def direction(weights: Tensor, *batch: Tensor) -> tuple[Tensor, Tensor]:
        plain, value = gradient(weights, *batch)
        size = (weights * plain).norm(dim=-1, keepdim=True) + TINY
        perturbed, _ = gradient(weights + weights.square() * plain * (rho / size), *batch)
        unit = F.normalize(perturbed, dim=-1, eps=TINY)
        across = plain - (plain * unit).sum(-1, keepdim=True) * unit
        return perturbed - alpha * across, value

    return direction
