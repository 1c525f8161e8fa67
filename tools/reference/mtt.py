"""MTT (arXiv 2203.11932): training on the synthetic images must lead where the expert's on real ones led."""

from collections.abc import Callable, Iterable

from torch import Tensor

from .dd import Batches, train

Network = Callable[[Tensor, Tensor], Tensor]


def loss(network: Network, start: Tensor, target: Tensor, batches: Batches, sizes: Iterable[Tensor]) -> Tensor:
    """Return `|| w_N - target ||^2 / || start - target ||^2`, w_N the weights after the synthetic steps.

    Args:
        network: logits of images under one vector of weights.
        start: `(W,)`, the expert's weights at some epoch.
        target: `(W,)`, its weights some epochs later.
        batches: synthetic ones.
        sizes: the step size of each step.
    """
    student = train(lambda weights, images: network(weights["all"], images), {"all": start}, batches, sizes)["all"]
    return (student - target).square().sum() / (start - target).square().sum()
