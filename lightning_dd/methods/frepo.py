"""FRePo: ridge regression of real labels on the features of partly trained networks."""

from collections.abc import Callable

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lightning_dd.data.sampling import Batch, Uniform
from lightning_dd.errors import UserError, check_number
from lightning_dd.losses import centred_targets, label_margin, solve_ridge, squared_error
from lightning_dd.methods.base import Distiller
from lightning_dd.methods.optimizers import LAMB
from lightning_dd.networks import FRePoNet, Network, NetworkFactory
from lightning_dd.rng import generator
from lightning_dd.training.pool import NetworkPool

REAL_CHUNK_ON_CPU = 256  # DM's; not measured here

Features = Callable[[Tensor], Tensor]


class FRePo(Distiller):
    """Dataset Distillation using Neural Feature Regression (Zhou, Nezhadarya and Ba, NeurIPS 2022, arXiv 2206.00719).

    Each step takes a network from a pool of partly trained ones, predicts the labels of a real batch by kernel ridge
    regression from the synthetic images X and their learned labels Y, with the kernel of the network's features f, and
    moves X and Y:

        `L = mean_t ||K_ts (K_ss + λI)^-1 Y - y_t||^2 / 2 - mean_i min(margin(Y_i), 1/C)`,  `K = f f^T`.

    The network is then trained on X and Y for one step, or drawn anew when it is old. As in the authors' JAX code.

    Args:
        ipc: images per class.
        network: its features make the kernel; in eval mode, so running statistics where it has BatchNorm.
        real_batch: real images in a step, drawn from all classes alike.
        real_chunk: real images in one forward; trades time for memory without changing the result. None takes 256 on
            CPU, all at once on a GPU.
        synthetic_chunk: synthetic images in one forward, which is done again for its gradient; trades time for memory
            without changing the result. None takes all at once.
        learn_labels: learn Y too; it starts at `(onehot - 1/C) / sqrt(C / 10)` either way.
        flip: let mirrored copies of X, with the same labels, take part in the regression; not published for digits,
            clothes, and the larger sets of CIFAR-100 and Tiny-ImageNet.
        ridge: λ relative to the mean of the diagonal of K_ss.
        pool_size: networks in the pool; member i starts at age `i * (max_age // pool_size)`.
        max_age: a network older than this is drawn anew.
        pool_lr: learning rate (Adam) of the networks.
        pool_batch: synthetic images in a step of a network; all of them where there are fewer.
        augmentation: DSA operations with which protocols that use such train networks on the set; nothing is augmented
            here.
        lr: learning rate (LAMB) of X and Y.

    Raises:
        UserError: an option is out of its range, or the network has no features.
    """

    paper = "Dataset Distillation using Neural Feature Regression (NeurIPS 2022, arXiv 2206.00719)"
    published_steps = 500_000
    protocol = "frepo"
    memory_option = "--model.real_chunk, --model.synthetic_chunk or --model.pool_size"

    def __init__(
        self,
        ipc: int,
        network: NetworkFactory = FRePoNet,
        real_batch: int = 1024,
        real_chunk: int | None = None,
        synthetic_chunk: int | None = None,
        learn_labels: bool = True,
        flip: bool = True,
        ridge: float = 1e-6,
        pool_size: int = 10,
        max_age: int = 100,
        pool_lr: float = 3e-4,
        pool_batch: int = 1000,
        augmentation: str | None = None,
        lr: float = 3e-4,
        lr_decay: float = 0.1,
        compile: bool = False,
        **options: object,
    ) -> None:
        super().__init__(
            ipc,
            network=network,
            augmentation=augmentation,
            lr=lr,
            lr_decay=lr_decay,
            momentum=0.0,
            compile=compile,
            **options,
        )
        counts = {"real_batch": real_batch, "real_chunk": real_chunk, "synthetic_chunk": synthetic_chunk}
        counts |= {"pool_size": pool_size, "max_age": max_age, "pool_batch": pool_batch}
        for name, value in counts.items():
            check_number(name, value)
        for name, value in (("ridge", ridge), ("pool_lr", pool_lr)):
            if value <= 0:
                raise UserError(f"--model.{name} is above 0 and cannot be {value}.")
        self.real_batch = real_batch
        self.real_chunk = real_chunk
        self.synthetic_chunk = synthetic_chunk
        self.flip = flip
        self.ridge = ridge
        self.pool_batch = pool_batch
        scale = (self.num_classes / 10) ** 0.5
        self.set_targets(centred_targets(self.labels, self.num_classes) / scale, learned=learn_labels)
        self._pool = NetworkPool(
            network, self.image_shape, self.num_classes, self.seed, pool_size, max_age, pool_lr, compile
        )
        self._compiled: Features | None = None

    @property
    def sampling(self) -> Uniform:
        """Real images of any class."""
        return Uniform(self.real_batch)

    def build_optimizer(self, groups: list[dict]) -> LAMB:
        """Return LAMB: one ratio for all images, one for all labels."""
        return LAMB(groups, self.lr)

    def loss(self, batch: Batch) -> Tensor:
        """Return this process's share of the regression's error; the labels' margin counts once."""
        network = self._pool.at(self.iteration, self.device)
        features = self._features(network)
        real = self._real_features(features, batch.images)
        # bf16 is for the real features, which have no gradient; the regression is in float64
        with torch.autocast(self.device.type, enabled=False):
            readout = self._readout(features)
            targets = centred_targets(batch.labels, self.num_classes)
            loss = squared_error(real.double() @ readout, targets, self.real_batch)
            if self.labels.requires_grad and self.global_rank == 0:
                loss = loss + label_margin(self.decode()[1])
        return loss

    def update_networks(self) -> None:
        """Train this step's network on the synthetic set for one step, or draw it anew."""
        images, labels = (tensor.detach() for tensor in self.decode())
        if len(images) > self.pool_batch:
            draw = generator(self.seed, "pool/images", self.iteration)
            rows = torch.randperm(len(images), generator=draw)[: self.pool_batch].to(images.device)
            images, labels = images[rows], labels[rows]
        with torch.autocast(self.device.type, enabled=False):
            self._pool.update(self.iteration, lambda network: squared_error(network(images), labels, len(images)))

    def private_state(self) -> dict[str, Tensor]:
        """Return the pool."""
        return self._pool.state_dict()

    def load_private_state(self, state: dict[str, Tensor]) -> None:
        """Take back the pool."""
        self._pool.load_state_dict(state)

    def _readout(self, features: Features) -> Tensor:
        """Return `f(X)^T (K_ss + λI)^-1 Y`, `(F, C)` float64: the predictions are the real features times it.

        Taken in this order, the regression never forms K_ts, whose gradient would cost as much as the kernel's.
        """
        images, labels = self.decode()
        if self.flip:
            images, labels = torch.cat([images, images.flip(-1)]), torch.cat([labels, labels])
        if self.synthetic_chunk is None:
            synthetic = features(images)
        else:
            parts = images.split(self.synthetic_chunk)
            synthetic = torch.cat([checkpoint(features, part, use_reentrant=False) for part in parts])
        synthetic = synthetic.double()
        solution = solve_ridge(synthetic @ synthetic.T, labels, self.ridge)
        if solution.raised > 1:
            rank_zero_warn(f"The regression was too ill-conditioned for --model.ridge {self.ridge:g}: it was raised.")
        return synthetic.T @ solution.weights

    @torch.no_grad()
    def _real_features(self, features: Features, images: Tensor) -> Tensor:
        default = REAL_CHUNK_ON_CPU if images.device.type == "cpu" else max(1, len(images))
        return torch.cat([features(part) for part in images.split(self.real_chunk or default)])

    def _features(self, network: Network) -> Features:
        if not self.compile_objective:
            return network.features
        if self._compiled is None:
            self._compiled = torch.compile(network.features, dynamic=False)
        return self._compiled
