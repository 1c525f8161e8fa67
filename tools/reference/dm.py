"""DM (arXiv 2110.04181): match mean features of real and synthetic images, class by class."""

from collections.abc import Callable, Iterable, Iterator

from torch import Tensor

Pairs = Iterable[tuple[Tensor, Tensor]]
"""Of each class in turn, real images T `(B, C, H, W)` and synthetic ones S `(n, C, H, W)`, under one augmentation."""


def losses(features: Callable[[Tensor], Tensor], pairs: Pairs) -> Iterator[Tensor]:
    """Yield `|| mean f(T_c) - mean f(S_c) ||^2` of each class c.

    Args:
        features: f, of a random network: `(N, C, H, W)` to `(N, F)`.
        pairs: T and S.
    """
    for real, synthetic in pairs:
        yield distance_of_means(features(real), features(synthetic))


def distance_of_means(real: Tensor, synthetic: Tensor) -> Tensor:
    """Return the squared distance of the mean rows of `(B, F)` and `(n, F)`."""
    return (real.mean(0) - synthetic.mean(0)).square().sum()
