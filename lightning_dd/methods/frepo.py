"""FRePo: ridge regression of real labels on the features of partly trained networks."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lightning_dd.artifact.labels import Labels
from lightning_dd.artifact.synthetic import SyntheticSet
from lightning_dd.data.sampling import Batch, Uniform
from lightning_dd.losses import centered_targets, label_margin, solve_ridge, squared_error
from lightning_dd.methods.base import Distiller
from lightning_dd.methods.optimizers import LAMB
from lightning_dd.networks import FRePoNet, Network, NetworkFactory
from lightning_dd.networks.base import has_batch_norm
from lightning_dd.networks.build import check_features, sample
from lightning_dd.networks.named import recorded_network
from lightning_dd.runtime.compile import compiled
from lightning_dd.runtime.options import PositiveFloat, PositiveInt, UnitInterval
from lightning_dd.training.chunks import chunk_size
from lightning_dd.training.pool import NetworkPool

Features = Callable[[Tensor], Tensor]


class FRePo(Distiller):
    """Dataset Distillation using Neural Feature Regression (Zhou, Nezhadarya and Ba, NeurIPS 2022, arXiv 2206.00719).

    Each step takes a network from a pool of partly trained ones, predicts the labels of a real batch by kernel ridge
    regression from the synthetic images X and their learned labels Y, with the kernel of the network's features f, and
    moves X and Y:

        `L = mean_t ||K_ts (K_ss + λI)^-1 Y - y_t||^2 / 2 - mean_i min(margin(Y_i), 1/C)`,  `K = f f^T`.

    The network is then trained on X and Y for one step, or replaced when it is old. As in the authors' JAX code but for
    two things: real batches are drawn anew at each step (there in passes), and the last images are the result (there
    those with the best test accuracy on the way). Evaluations train the network without its BatchNorm.

    Args:
        network: its features make the kernel; in eval mode, so running statistics where it has BatchNorm.
        real_batch: real images in a step, drawn from all classes alike; no more than there are.
        real_chunk: real images in one forward; trades time for memory without changing the result. None takes 256 on
            CPU, all on a GPU.
        synthetic_chunk: synthetic images in one forward, likewise, done again for its gradient. None takes all.
        learn_labels: learn Y too; it starts at `(onehot - 1/C) / sqrt(C / 10)` either way.
        flip: let mirrored copies of X, with the same labels, take part in the regression; not published for digits,
            clothes, and the larger sets of CIFAR-100 and Tiny-ImageNet.
        ridge: λ relative to the mean of the diagonal of K_ss.
        pool_size: networks in the pool; member i starts at age `i * (max_age // pool_size)`.
        max_age: a network older than this is replaced.
        pool_lr: learning rate (Adam) of the networks.
        pool_batch: synthetic images in a step of a network; all of them where there are fewer.
        augmentation: DSA operations of the evaluations that augment; nothing is augmented here.
        lr: learning rate (LAMB) of X and Y.
        **options: those of `Preparation`.

    Raises:
        UserError: the network has no features.
    """

    paper = "Dataset Distillation using Neural Feature Regression (NeurIPS 2022, arXiv 2206.00719)"
    published_steps = 500_000
    protocol = "frepo"
    network_options = ("pool_size", "max_age", "pool_lr", "pool_batch")
    memory_option = "{real_chunk}, {synthetic_chunk} or {pool_size}"
    real_option = "real_batch"

    def __init__(
        self,
        ipc: PositiveInt,
        network: NetworkFactory = FRePoNet,
        real_batch: PositiveInt = 1024,
        real_chunk: PositiveInt | None = None,
        synthetic_chunk: PositiveInt | None = None,
        learn_labels: bool = True,
        flip: bool = True,
        ridge: PositiveFloat = 1e-6,
        pool_size: PositiveInt = 10,
        max_age: PositiveInt = 100,
        pool_lr: PositiveFloat = 3e-4,
        pool_batch: PositiveInt = 1000,
        augmentation: str | None = None,
        lr: PositiveFloat = 3e-4,
        lr_decay: UnitInterval = 0.1,
        compile: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            ipc,
            network=network,
            augmentation=augmentation,
            lr=lr,
            momentum=0.0,
            lr_decay=lr_decay,
            compile=compile,
            **options,
        )
        self.real_batch, self.real_chunk, self.synthetic_chunk = real_batch, real_chunk, synthetic_chunk
        self.flip, self.ridge = flip, ridge
        self.pool_size, self.max_age, self.pool_lr, self.pool_batch = pool_size, max_age, pool_lr, pool_batch
        targets = centered_targets(self.synthetic.classes, self.num_classes) / (self.num_classes / 10) ** 0.5
        self.synthetic.labels = Labels(targets, "targets", learned=learn_labels)

    @property
    def evaluation_network(self) -> NetworkFactory:
        """The method's network, without any normalization in place of BatchNorm, as published."""
        own = sample(self.network, self.image_shape, self.num_classes)
        if not (has_batch_norm(own) and "norm" in inspect.signature(type(own)).parameters):
            return self.network
        return recorded_network(own.made_from | {"init_args": own.made_from["init_args"] | {"norm": "none"}})

    def own_networks(self) -> NetworkPool:
        """Return a pool of networks that are trained on the synthetic set."""
        return NetworkPool(self.pool_size, self.max_age, self.pool_lr, self.pool_batch)

    def network_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return half the squared error, mean over images."""
        return squared_error(logits, targets, len(logits))

    @property
    def sampling(self) -> Uniform:
        """Real images of any class."""
        return Uniform(self.real_batch)

    def build_optimizer(self, groups: list[dict[str, Any]]) -> LAMB:
        """Return LAMB: one ratio for all images, one for all labels."""
        return LAMB(groups, self.lr)

    def objective(self, network: Network, synthetic: SyntheticSet, batch: Batch) -> Tensor:
        """Return this process's share of the regression's error; the labels' margin counts once."""
        features = compiled(check_features(network).features, self.compile_objective)
        real = self._real_features(features, batch.images, chunk_size(self.real_chunk, network, batch.images))
        # bf16 is for the real features, which have no gradient; the regression is in float64
        with torch.autocast(self.device.type, enabled=False):
            readout = self.readout(features, synthetic)
            targets = centered_targets(batch.labels, self.num_classes)
            loss = squared_error(real.double() @ readout, targets, self.real_batch)
            if synthetic.labels.learned and self.global_rank == 0:
                loss = loss + label_margin(synthetic.targets())
        return loss

    def readout(self, features: Features, synthetic: SyntheticSet) -> Tensor:
        """Return `f(X)^T (K_ss + λI)^-1 Y`, `(F, C)` float64: the predictions are the real features times it.

        Taken in this order, the regression never forms K_ts, whose gradient would cost as much as the kernel's.
        """
        images, labels = synthetic.images(), synthetic.targets()
        if self.flip:
            images, labels = torch.cat([images, images.flip(-1)]), torch.cat([labels, labels])
        if self.synthetic_chunk is None:
            found = features(images)
        else:
            parts = images.split(self.synthetic_chunk)
            found = torch.cat([checkpoint(features, part, use_reentrant=False) for part in parts])
        found = found.double()
        solution = solve_ridge(found @ found.T, labels, self.ridge)
        if solution.raised > 1:
            rank_zero_warn(f"The regression was too ill-conditioned for ridge {self.ridge:g}: it was raised.")
        return found.T @ solution.weights

    @torch.no_grad()
    def _real_features(self, features: Features, images: Tensor, chunk: int) -> Tensor:
        return torch.cat([features(part) for part in images.split(chunk)])
