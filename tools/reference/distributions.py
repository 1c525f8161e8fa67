"""DANCE, NCFM, DSDM and IDM: match more of the features than `dm` does, or classify rightly besides, class by class.

Each yields the loss of one class after the other, the labels being 0, 1, 2, ...; f are the features `(N, F)` of images.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from .dm import Pairs, distance_of_means

Map = Callable[[Tensor], Tensor]


def dance(features: Map, logits: Map, pairs: Pairs, weight: float = 1.0) -> Iterator[Tensor]:
    """Yield `|| mean f(T_c) - mean f(S_c) ||^2 + w CE(g(S_c), c)` (arXiv 2406.01063).

    Args:
        features: f, of a partly trained network.
        logits: g, of the trained one: `(N, C, H, W)` to `(N, num_classes)`.
        pairs: T and S.
        weight: w.
    """
    for label, (real, synthetic) in enumerate(pairs):
        yield distance_of_means(features(real), features(synthetic)) + weight * entropy(logits(synthetic), label)


def ncfm(
    features: Map, logits: Map, frequencies: Tensor, pairs: Pairs, weight: float = 1.0, scale: float = 300.0
) -> Iterator[Tensor]:
    """Yield `scale mean_t |Φ_T(t) - Φ_S(t)| / sqrt 2 + w CE(g(S_c), c)` (arXiv 2502.20653).

    `Φ(t) = mean_i exp(i <t, f_i / |f_i|>)`. This is the paper's distance with equal weights of amplitude and phase.

    Args:
        features: f, of a partly trained network.
        logits: g, of the trained one.
        frequencies: t, `(T, F)`.
        pairs: T and S.
        weight: w.
        scale: of the distance.
    """

    def characteristic(images: Tensor) -> Tensor:
        angles = F.normalize(features(images), dim=1) @ frequencies.T
        return torch.complex(angles.cos().mean(0), angles.sin().mean(0))

    for label, (real, synthetic) in enumerate(pairs):
        distance = (characteristic(real) - characteristic(synthetic)).abs().mean() / 2**0.5
        yield scale * distance + weight * entropy(logits(synthetic), label)


def dsdm(
    features: Map, pairs: Pairs, past: dict[int, Tensor], covariance: float = 50.0, history: float = 0.2
) -> Iterator[Tensor]:
    """Yield the distances of means, of covariances, and of the mean from its own past (Li et al., ACM MM 2024).

    `|| mean f(T_c) - mean f(S_c) ||^2 + 50/F || Cov f(T_c) - Cov f(S_c) ||^2 + 0.2/F || past_c - mean f(S_c) ||^2`

    Args:
        features: f, of a trained network.
        pairs: T and S.
        past: the running mean, at 0.99, of a class's mean synthetic features, `(F,)` by label; it is updated. Classes
            that have none do without the last term.
        covariance: the weight of the second term, times F.
        history: the weight of the last, times F.
    """
    for label, pair in enumerate(pairs):
        real, synthetic = map(features, pair)
        mean, count = synthetic.mean(0), synthetic.shape[1]
        difference = torch.cov(real.T) - (torch.cov(synthetic.T) if len(synthetic) > 1 else 0)
        loss = distance_of_means(real, synthetic) + covariance / count * difference.square().sum()
        if label in past:
            loss = loss + history / count * (past[label] - mean).square().sum()
        past[label] = 0.99 * past.get(label, mean.detach()) + 0.01 * mean.detach()
        yield loss


def idm(features: Map, classifier: Map, pairs: Pairs, weight: float) -> Iterator[Tensor]:
    """Yield `|| mean f(T_c) - mean f(S_c) ||^2 + w CE(g(f(S_c)), c)` (arXiv 2307.09742).

    Args:
        features: f, of a network from the queue.
        classifier: g, its last layer: `(N, F)` to `(N, num_classes)`.
        pairs: T and S.
        weight: w, times the percentage of real images that the network classifies rightly.
    """
    for label, pair in enumerate(pairs):
        real, synthetic = map(features, pair)
        logits = classifier(synthetic)
        yield distance_of_means(real, synthetic) + weight * entropy(logits, label)


def entropy(logits: Tensor, label: int) -> Tensor:
    """Return the mean cross-entropy of logits `(N, num_classes)` of images of one class."""
    return F.cross_entropy(logits, torch.full((len(logits),), label, device=logits.device))
