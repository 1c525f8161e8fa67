"""DM (arXiv 2110.04181): match mean features of real and synthetic images, class by class."""

from collections.abc import Callable, Iterable

from torch import Tensor


def loss(
    features: Callable[[Tensor], Tensor],
    real: Iterable[Tensor],
    synthetic: Iterable[Tensor],
    augment: Callable[[int, Tensor], Tensor] | None = None,
) -> Tensor:
    """Return `sum_c || mean f(A_c(T_c)) - mean f(A_c(S_c)) ||^2`.

    Args:
        features: f, of a random network: `(N, C, H, W)` to `(N, F)`.
        real: T, `(B, C, H, W)` for each class.
        synthetic: S, `(n, C, H, W)` for each class.
        augment: A, called with the place of the class and images: the same transform for both of a class.
    """
    total = 0
    for place, pair in enumerate(zip(real, synthetic, strict=True)):
        real_mean, synthetic_mean = (
            features(images if augment is None else augment(place, images)).mean(0) for images in pair
        )
        total = total + (real_mean - synthetic_mean).square().sum()
    return total
