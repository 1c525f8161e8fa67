"""DataDAM (arXiv 2310.00093): match the spatial attention of layers, and mean features, class by class."""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional as F

from .dm import Pairs, distance_of_means


def losses(network: nn.Module, pairs: Pairs, power: float = 4.0, weight: float = 0.01) -> Iterator[Tensor]:
    """Yield `100 (sum_l || mean a_l(T_c) - mean a_l(S_c) ||^2 + w || mean f(T_c) - mean f(S_c) ||^2)` of each class c.

    Args:
        network: a random one, with `features`; l are its ReLU layers but for the last, a their attention.
        pairs: T and S.
        power: of the activations.
        weight: w.
    """
    for pair in pairs:
        (*theirs, _, goal), (*ours, _, found) = (activations(network, images) for images in pair)
        layers = zip(theirs, ours, strict=True)
        maps = sum(distance_of_means(*(attention(layer, power) for layer in both)) for both in layers)
        yield 100 * (maps + weight * distance_of_means(goal, found))


def activations(network: nn.Module, images: Tensor) -> list[Tensor]:
    """Return what the ReLU layers give, `(N, channels, H, W)`, and last the features `(N, F)`."""
    found: list[Tensor] = []
    layers = [module for module in network.modules() if isinstance(module, nn.ReLU)]
    hooks = [layer.register_forward_hook(lambda *call: found.append(call[-1])) for layer in layers]
    features = network.features(images)
    for hook in hooks:
        hook.remove()
    return [*found, features]


def attention(maps: Tensor, power: float) -> Tensor:
    """Return `sum_channels |maps|^p` of length 1 for each image, `(N, H * W)`, of maps `(N, channels, H, W)`."""
    return F.normalize(maps.abs().pow(power).sum(1).flatten(1), dim=1)
