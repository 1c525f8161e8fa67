"""DM: match the mean features of real and synthetic images under random networks."""

from collections.abc import Callable

import torch
from torch import Tensor

from lightning_dd.augmentation import Draw
from lightning_dd.data.sampling import Batch
from lightning_dd.errors import UserError
from lightning_dd.losses.feature_mean import feature_mean_distance
from lightning_dd.methods.class_balanced import ClassBalancedDistiller
from lightning_dd.networks import Network
from lightning_dd.training.sources import FreshNetworks

REAL_CHUNK_ON_CPU = 256  # of 32x32 pixels, measured: one forward over all images is slower (tools/benchmark.py dm)

Embedding = Callable[[Tensor], Tensor]


class DM(ClassBalancedDistiller):
    """Dataset Condensation with Distribution Matching (Zhao and Bilen, WACV 2023, arXiv 2110.04181).

    Each step draws a random network f, which is never trained, and moves the images so that the mean feature of each
    class c agrees with that of its real images T_c under the same augmentation A:
    `sum_c || mean f(A(T_c)) - mean f(A(S_c)) ||^2`.

    Args:
        ipc: images per class.
        real_per_class: real images of each class in a step (|T_c|, the paper's batch of 256).
        real_chunk: real images in one forward; trades time for memory without changing the result. None takes what was
            measured as best: on CPU 256 of 32x32 pixels or fewer larger ones, all at once on a GPU. Refused for
            networks with batch normalisation.
        augmentation: DSA operations joined by `_`, one a class and step; the official code leaves out `flip` for
            digits. None for none.

    Raises:
        UserError: an option is out of its range, or the network has no features or no chunks.
    """

    paper = "Dataset Condensation with Distribution Matching (WACV 2023, arXiv 2110.04181)"
    published_steps = 20_000
    protocol = "dm"
    tf32 = True
    memory_option = "--model.real_chunk or --model.real_per_class"

    def __init__(
        self,
        ipc: int,
        real_per_class: int = 256,
        real_chunk: int | None = None,
        augmentation: str | None = "color_crop_cutout_flip_scale_rotate",
        **options: object,
    ) -> None:
        super().__init__(ipc, real_per_class, real_chunk, augmentation=augmentation, **options)
        self._networks = FreshNetworks(self.network, self.image_shape, self.num_classes, self.seed)
        self._compiled: Embedding | None = None

    def loss(self, batch: Batch) -> Tensor:
        """Return the squared distance of mean features, summed over the batch's classes."""
        if len(batch.classes) == 0:  # more processes than classes: this one has no share
            return self.images.sum() * 0
        network = self._networks.at(self.iteration, self.device)
        embed = self._embedding(network)
        draw = self.draw_augmentation(batch.classes)
        real = self._real_means(embed, batch.images, draw, self._chunk(network, batch.images))
        synthetic = self.augment(draw, self.synthetic(batch.classes))
        return feature_mean_distance(real, _class_means(embed, synthetic))

    @torch.no_grad()
    def _real_means(self, embed: Embedding, images: Tensor, draw: Draw | None, chunk: int) -> Tensor:
        """Return `(K, F)` mean features of real images `(K, B, C, H, W)`, at most `chunk` images in one forward."""
        means = []
        for rows in torch.arange(len(images)).split(max(1, chunk // images.shape[1])):
            augmented = self.augment(None if draw is None else draw[rows], images[rows[0] : rows[-1] + 1])
            means.append(_class_means(embed, augmented, chunk))
        return torch.cat(means)

    def _chunk(self, network: Network, images: Tensor) -> int:
        everything = images.shape[0] * images.shape[1]
        if network.mixes_examples:
            if self.real_chunk is not None:
                raise UserError("--model.real_chunk would change the result of a network with batch normalisation.")
            return everything
        if self.real_chunk is not None:
            return self.real_chunk
        if images.device.type != "cpu":
            return everything
        size = images.shape[-2] * images.shape[-1] / 32**2  # at 64x64, 64 images were 1.2 times as fast as 256
        return max(1, int(REAL_CHUNK_ON_CPU / max(1, size)))

    def _embedding(self, network: Network) -> Embedding:
        if not isinstance(network, Network):
            raise UserError(f"DM needs a network with features, and {type(network).__name__} has none; use ConvNet.")
        if not self.compile_objective:
            return network.features
        if self._compiled is None:
            self._compiled = torch.compile(network.features, dynamic=False)
        return self._compiled


def _class_means(embed: Embedding, images: Tensor, chunk: int | None = None) -> Tensor:
    flat = images.flatten(0, 1)
    features = embed(flat) if chunk is None else torch.cat([embed(part) for part in flat.split(chunk)])
    return features.view(*images.shape[:2], -1).mean(1)
