"""IDC (arXiv 2205.14959), DREAM (2302.14416) and Acc-DD (2212.06152): match gradients of convolutions, class by class.

They differ in where the network and the real images come from.
"""

from collections.abc import Iterator

from torch import Tensor, nn

from .dc import gradients
from .dm import Pairs


def losses(network: nn.Module, pairs: Pairs, power: int = 2) -> Iterator[Tensor]:
    """Yield `sum_convolutions sum_entries |G_T - G_S|^p` of each class, G the gradient of the cross-entropy.

    Args:
        network: of this step.
        pairs: real images T and synthetic ones S.
        power: p, 1 or 2.
    """
    for label, (real, synthetic) in enumerate(pairs):
        goal, found = gradients(network, real, label, graph=False), gradients(network, synthetic, label, graph=True)
        layers = zip(goal, found, strict=True)
        yield sum((theirs - ours).abs().pow(power).sum() for theirs, ours in layers if ours.ndim == 4)
