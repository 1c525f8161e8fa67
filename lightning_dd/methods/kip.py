"""KIP: ridge regression of real labels with the kernel of an infinitely wide network."""

from functools import partial
from typing import Any, Literal, get_args

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lightning_dd.augmentation.kip import NUM_UNIFORMS, KIPAugmentation
from lightning_dd.data.sampling import Batch, ClassBalanced
from lightning_dd.errors import UserError, check_number
from lightning_dd.losses import KERNELS, centred_targets, solve_labels, solve_ridge, squared_error, with_gradient
from lightning_dd.methods.base import Distiller
from lightning_dd.networks import KIPConvNet
from lightning_dd.rng import generator

Kernel = Literal["fc_ntk", "conv_ntk"]
Labels = Literal["fixed", "learned", "solved"]


class KIP(Distiller):
    """Dataset Meta-Learning from Kernel Ridge-Regression (Nguyen, Chen and Lee, ICLR 2021, arXiv 2011.00050).

    Each step predicts the labels of a class-balanced real batch from the synthetic images X and their labels Y by
    kernel ridge regression, and moves X along the gradient of

        `L = mean_(t, c) (K_ts (K_ss + λI)^-1 Y - y_t)^2 / 2`.

    K is the neural tangent kernel of an infinitely wide ReLU network, always in float64. The figures that are usually
    quoted (arXiv 2107.13034) are of the convolutional kernel, whose cost is that of all pairs of pixels of all pairs of
    images: here it is for small images only, and the fully-connected one is the default.

    Args:
        ipc: images per class.
        kernel: `fc_ntk`, of a fully-connected network; or `conv_ntk`, of the paper's convolutional one, which is for
            small images and a small `real_chunk`.
        depth: hidden layers of the fully-connected network, or blocks with pooling of the convolutional one (3 in the
            paper).
        real_batch: real images in a step, equally many of each class.
        real_chunk: real images whose kernel is in memory at a time; it is then computed again for its gradient. Trades
            time for memory without changing the result; None takes all at once.
        labels: `fixed` at `onehot - 1/C`; `learned` from there along with the images; or `solved`: the images stay as
            they are, and each step puts the labels at their best for its batch, in closed form (label solve).
        target_augmentation: operations on the real images out of rotate, shift, flip and channel, joined by `_`; None
            for none.
        ridge: λ relative to the mean of the diagonal of K_ss.
        augmentation: DSA operations with which protocols that use such train networks on the set; not used here.
        lr: learning rate (Adam) of images and labels.

    Raises:
        UserError: an option is out of its range.
    """

    paper = "Dataset Meta-Learning from Kernel Ridge-Regression (ICLR 2021, arXiv 2011.00050)"
    published_steps = 1000
    protocol = "krr"
    memory_option = "--model.real_chunk"

    def __init__(
        self,
        ipc: int,
        kernel: Kernel = "fc_ntk",
        depth: int = 1,
        real_batch: int = 5000,
        real_chunk: int | None = None,
        labels: Labels = "fixed",
        target_augmentation: str | None = None,
        ridge: float = 1e-6,
        augmentation: str | None = None,
        lr: float = 0.04,
        compile: bool = False,
        **options: object,
    ) -> None:
        # no option: only an evaluation by protocol `kip` trains networks of this kind, and it has an option of its own
        super().__init__(
            ipc, network=KIPConvNet, augmentation=augmentation, lr=lr, momentum=0.0, compile=compile, **options
        )
        if real_batch < self.num_classes:
            raise UserError(f"--model.real_batch holds every class: at least {self.num_classes}, not {real_batch}.")
        for name, value in (("depth", depth), ("real_chunk", real_chunk)):
            check_number(name, value)
        if ridge <= 0:
            raise UserError(f"--model.ridge is above 0 and cannot be {ridge}.")
        for name, value, kind in (("labels", labels, Labels), ("kernel", kernel, Kernel)):
            if value not in get_args(kind):
                raise UserError(f"--model.{name} is one of {', '.join(get_args(kind))}, not '{value}'.")
        if kernel == "conv_ntk" and min(self.image_shape[1:]) < 2**depth:
            height, width = self.image_shape[1:]
            raise UserError(f"--model.depth {depth} halves {height}x{width} images to nothing: make it smaller.")
        self.kernel = kernel
        self.depth = depth
        self.real_batch = real_batch
        self.real_chunk = real_chunk
        self.solved = labels == "solved"
        self.ridge = ridge
        self.target_augmentation = KIPAugmentation(target_augmentation) if target_augmentation else None
        self.set_targets(centred_targets(self.labels, self.num_classes), learned=labels != "fixed")
        self.images.requires_grad_(not self.solved)
        function = torch.compile(KERNELS[kernel], dynamic=False) if compile else KERNELS[kernel]
        self._kernel = partial(function, depth=depth)

    @property
    def sampling(self) -> ClassBalanced:
        """Equally many real images of every class."""
        return ClassBalanced(self.real_batch // self.num_classes)

    def setup(self, stage: str) -> None:
        """Refuse what the kernel cannot be computed in, or shared by.

        Raises:
            UserError: the precision is below float32, or several processes are to solve for the labels.
        """
        if "32" not in str(self.trainer.precision) and "64" not in str(self.trainer.precision):
            raise UserError(f"KIP's kernel needs --trainer.precision 32-true or 64-true, not {self.trainer.precision}.")
        if self.solved and self.trainer.world_size > 1:
            raise UserError("--model.labels solved takes the whole batch at once: use one process.")
        super().setup(stage)

    def recipe(self) -> dict[str, Any]:
        """Return the kernel, for scoring the set by it."""
        return {**super().recipe(), "kernel": {"name": self.kernel, "depth": self.depth, "ridge": self.ridge}}

    def build_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return Adam; solved labels are put where the step wants them."""
        return torch.optim.SGD(groups, 1.0) if self.solved else torch.optim.Adam(groups, self.lr)

    def loss(self, batch: Batch) -> Tensor:
        """Return this process's share of the regression's error, the mean being over the whole batch."""
        images, labels = self.decode()
        real = self._targets(batch)
        targets = centred_targets(batch.labels.flatten(), self.num_classes)
        kernel = self._kernel(images)
        solution = solve_ridge(kernel, labels, self.ridge)
        if solution.raised > 1:
            rank_zero_warn(f"The regression was too ill-conditioned for --model.ridge {self.ridge:g}: it was raised.")
        between = self._between(real, images)
        count = self.num_classes * batch.images.shape[1]
        loss = squared_error(between @ solution.weights, targets, count * self.num_classes)
        if not self.solved:
            return loss
        best = solve_labels(between, kernel, targets, self.ridge).to(labels)
        return with_gradient(loss, labels, labels - best)  # a step of length 1 along it ends at the best labels

    def _between(self, real: Tensor, images: Tensor) -> Tensor:
        """Return K_ts `(T, N)`, its inner values being kept for at most `real_chunk` real images."""
        if self.real_chunk is None:
            return self._kernel(real, images)
        parts = real.split(self.real_chunk)
        return torch.cat([checkpoint(self._kernel, part, images, use_reentrant=False) for part in parts])

    def _targets(self, batch: Batch) -> Tensor:
        """Return the real images `(T, C, H, W)` of this process's classes, augmented where that is asked for."""
        images = batch.images.flatten(0, 1)
        if self.target_augmentation is None:
            return images
        draw = generator(self.seed, "augmentation", self.iteration)
        uniforms = torch.rand(self.num_classes, batch.images.shape[1], NUM_UNIFORMS, generator=draw)
        return self.target_augmentation(images, uniforms[batch.classes.cpu()].flatten(0, 1))
