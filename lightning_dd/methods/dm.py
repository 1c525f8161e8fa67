"""DM: match the mean features of real and synthetic images under random networks."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lightning_dd.artifact.synthetic import SyntheticSet
from lightning_dd.augmentation import ALL_OPERATIONS, Draw
from lightning_dd.data.sampling import Batch
from lightning_dd.losses import feature_mean_distance
from lightning_dd.methods.class_balanced import ClassBalancedDistiller
from lightning_dd.networks import Network
from lightning_dd.networks.build import check_features
from lightning_dd.runtime.compile import compiled
from lightning_dd.runtime.options import PositiveInt
from lightning_dd.training.chunks import chunk_size

Embedding = Callable[[Tensor], Tensor]


class DM(ClassBalancedDistiller):
    """Dataset Condensation with Distribution Matching (Zhao and Bilen, WACV 2023, arXiv 2110.04181).

    Each step samples a random network f, which is never trained, and moves the images so that the mean feature of each
    class c agrees with that of its real images T_c under the same augmentation A:
    `sum_c || mean f(A(T_c)) - mean f(A(S_c)) ||^2`.

    Args:
        augmentation: DSA operations joined by `_`, one a class and step; digits leave out `flip`. None for none.
        lr: learning rate of the images; published is 1, and 10 on CIFAR-10 above 50 per class.
        **options: those of `ClassBalancedDistiller`.

    Raises:
        UserError: the network has no features or no chunks.
    """

    paper = "Dataset Condensation with Distribution Matching (WACV 2023, arXiv 2110.04181)"
    published_steps = 20_000
    protocol = "dm"
    tf32 = True
    memory_option = "{real_chunk} or {real_per_class}"

    def __init__(self, ipc: PositiveInt, augmentation: str | None = ALL_OPERATIONS, **options: Any) -> None:
        super().__init__(ipc, augmentation=augmentation, **options)

    def objective(self, network: Network, synthetic: SyntheticSet, batch: Batch) -> Tensor:
        """Return the distance of real and synthetic features, summed over the batch's classes."""
        if len(batch.classes) == 0:  # more processes than classes
            return self.no_share()
        loss, _ = self.match(network, synthetic, batch)
        return loss

    def match(self, network: Network, synthetic: SyntheticSet, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the distance, summed over the batch's classes, and the synthetic images' features `(K, N, F)`."""
        embed = self.embedding(network)
        draw = self.draw_augmentation(batch.classes)
        chunk = chunk_size(self.real_chunk, network, batch.images, len(batch.classes) < self.num_classes)
        real = self.real_statistics(embed, batch.images, draw, chunk)
        features = of_each_class(embed, self.augment(draw, synthetic.of_classes(batch.classes)))
        return self.distance(real, self.statistics(features)), features

    def embedding(self, network: Network) -> Embedding:
        """Return what makes the features to match, `(N, F)`, of images `(N, C, H, W)`."""
        return compiled(check_features(network).features, self.compile_objective)

    def statistics(self, features: Tensor) -> Tensor:
        """Return what is matched, `(K, ...)`, of the features `(K, N, F)` of K classes: their means `(K, F)`.

        Another method may return the features as they are, for a `distance` of whole sets.
        """
        return features.mean(1)

    def distance(self, real: Tensor, synthetic: Tensor) -> Tensor:
        """Return the distance of two `statistics`, summed over classes; the first has no graph."""
        return feature_mean_distance(real, synthetic)

    @torch.no_grad()
    def real_statistics(self, embed: Embedding, images: Tensor, draw: Draw | None, chunk: int) -> Tensor:
        """Return the statistics of real images `(K, B, C, H, W)`, at most `chunk` images in one forward."""
        found = []
        for rows in torch.arange(len(images)).split(max(1, chunk // images.shape[1])):
            augmented = self.augment(None if draw is None else draw[rows], images[rows[0] : rows[-1] + 1])
            found.append(self.statistics(of_each_class(embed, augmented, chunk)))
        return torch.cat(found)


def of_each_class(embed: Embedding, images: Tensor, chunk: int | None = None) -> Tensor:
    """Return the features `(K, N, F)` of images `(K, N, C, H, W)`."""
    flat = images.flatten(0, 1)
    features = embed(flat) if chunk is None else torch.cat([embed(part) for part in flat.split(chunk)])
    return features.view(*images.shape[:2], -1)
