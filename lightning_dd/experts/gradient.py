"""How experts are trained: the gradient of one or several networks, each on a mini-batch of its own."""

from torch import Tensor
from torch.func import vmap
from torch.nn import functional as F

from lightning_dd.unroll.chunks import Gradient
from lightning_dd.unroll.functional import FlatNetwork

TINY = 1e-12


class SeparateCrossEntropy:
    """The cross-entropy of S networks, each on its own mini-batch, summed over networks.

    Args:
        network: as a function of its weights.
    """

    def __init__(self, network: FlatNetwork) -> None:
        self.network = network

    def __call__(self, weights: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Return a scalar, the sum of the networks' means.

        Args:
            weights: `(S, W)`.
            images: `(S, B, C, H, W)`.
            labels: `(S, B)` class indices.
        """
        if len(weights) == 1:
            return F.cross_entropy(self.network(weights[0], images[0]), labels[0])
        logits = vmap(self.network)(weights, images)
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten()) * len(weights)


def gsam(gradient: Gradient, rho: float, alpha: float) -> Gradient:
    """Return a function that gives the direction of adaptive GSAM (arXiv 2203.08065) in place of a gradient.

    With g the gradient at w, the perturbed weights are `w + ρ w² g / |w g|`, and g' the gradient there. The direction
    is `g' - α g⊥`, g⊥ being the part of g at right angles to g'. FTD's and DATM's experts are trained by it.

    Args:
        gradient: called with `(S, W)` weights and a batch.
        rho: ρ, the size of the perturbation.
        alpha: α.
    """

    def direction(weights: Tensor, *batch: Tensor) -> tuple[Tensor, Tensor]:
        plain, value = gradient(weights, *batch)
        size = (weights * plain).norm(dim=-1, keepdim=True) + TINY
        perturbed, _ = gradient(weights + weights.square() * plain * (rho / size), *batch)
        unit = F.normalize(perturbed, dim=-1, eps=TINY)
        across = plain - (plain * unit).sum(-1, keepdim=True) * unit
        return perturbed - alpha * across, value

    return direction
