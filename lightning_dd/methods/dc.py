"""DC: match the gradients of a network on real and on synthetic images, class by class."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from lightning_dd.artifact.synthetic import SyntheticSet
from lightning_dd.augmentation import Draw
from lightning_dd.coresets import random_real
from lightning_dd.data.sampling import Batch
from lightning_dd.losses import DISTANCES, with_gradient
from lightning_dd.methods.class_balanced import ClassBalancedDistiller
from lightning_dd.methods.preparation import Init
from lightning_dd.networks.base import BATCH_NORMS
from lightning_dd.rng import generator
from lightning_dd.runtime.compile import compiled
from lightning_dd.runtime.options import NonNegativeInt, PositiveFloat, PositiveInt
from lightning_dd.training.sources import TrainedNetworks
from lightning_dd.unroll.class_gradients import class_gradients, class_gradients_in_chunks

PUBLISHED_NETWORKS = 1000
PUBLISHED_LOOPS = {1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10)}
REAL_IMAGES_AT_ONCE_ON_GPU = 2560  # ten published classes; not measured
BATCH_NORM_IMAGES = 16  # of each class, for running statistics


def default_loops(ipc: int) -> tuple[int, int]:
    """Return updates of the images per network, and epochs of training between them.

    Between published pairs: one update per image of a class and about 500 epochs in all; above 50, those of 50.
    """
    outer = min(ipc, 50)
    return PUBLISHED_LOOPS.get(outer, (outer, max(1, round(500 / outer))))


class DC(ClassBalancedDistiller):
    """Dataset Condensation with Gradient Matching (Zhao, Mopuri and Bilen, ICLR 2021, arXiv 2006.05929).

    A random network lives for `outer_loops` steps. Each step moves the images so that, for each class, the gradient of
    the network's weights on them agrees with that on real images; the network is then trained on the images. Where that
    has batch normalization, the official program tests its twin with instance normalization; here it is the same,
    unless `evaluation.network` says otherwise.

    Args:
        outer_loops: updates of the images per network; None takes the published number for this `ipc`.
        inner_epochs: epochs of training on the images between two updates; None takes the published number.
        lr_network: learning rate of that training (SGD without momentum).
        batch_size: images in a step of that training.
        distance: `rowwise`, the paper's (1 - cosine for each output unit); `mse` or `cos` of all gradients together.
        class_chunk: classes in one batched gradient; trades time for memory without changing the result. None takes 1
            on CPU, and on a GPU as many as have 2,560 real images together; `compile` needs 1.
        real_chunk: real images in one forward, likewise; None takes all images of those classes.
        lr: learning rate of the images (the paper: 0.1; 0.01 for an MLP).
        **options: those of `ClassBalancedDistiller`.
    """

    paper = "Dataset Condensation with Gradient Matching (ICLR 2021, arXiv 2006.05929)"
    protocol = "dc"
    network_options = ("inner_epochs", "lr_network", "batch_size")
    differentiates_weights = True
    memory_option = "{class_chunk}, {real_chunk} or {real_per_class}"

    def __init__(
        self,
        ipc: PositiveInt,
        outer_loops: PositiveInt | None = None,
        inner_epochs: NonNegativeInt | None = None,
        lr_network: PositiveFloat = 0.01,
        batch_size: PositiveInt = 256,
        distance: Literal["rowwise", "mse", "cos"] = "rowwise",
        class_chunk: PositiveInt | None = None,
        real_chunk: PositiveInt | None = None,
        init: Init = "noise",
        augmentation: str | None = None,
        lr: PositiveFloat = 0.1,
        **options: Any,
    ) -> None:
        super().__init__(ipc, real_chunk=real_chunk, init=init, augmentation=augmentation, lr=lr, **options)
        loops = default_loops(ipc)
        self.outer_loops = loops[0] if outer_loops is None else outer_loops
        self.inner_epochs = loops[1] if inner_epochs is None else inner_epochs
        self.lr_network, self.batch_size, self.class_chunk = lr_network, batch_size, class_chunk
        self.distance = DISTANCES[distance]

    @property
    def published_steps(self) -> int:
        """1,000 networks, each for its outer loop."""
        return PUBLISHED_NETWORKS * self.outer_loops

    def own_networks(self) -> TrainedNetworks:
        """Return networks that are trained on the synthetic set between its updates."""
        return TrainedNetworks(self.outer_loops, self.inner_epochs, self.lr_network, self.batch_size)

    def objective(self, network: nn.Module, synthetic: SyntheticSet, batch: Batch) -> Tensor:
        """Return the distance of real and synthetic gradients, summed over the batch's classes."""
        if len(batch.classes) == 0:  # more processes than classes
            return self.no_share()
        self._freeze_batch_norms(network)
        draw = self.draw_augmentation(batch.classes)
        images = self.images_to_match(synthetic, batch.classes)
        value, gradients = images.new_zeros(()), []
        for rows in torch.arange(len(batch.classes)).split(self._classes_at_once(batch.images)):
            chosen = slice(int(rows[0]), int(rows[-1]) + 1)
            part, labels = None if draw is None else draw[chosen], batch.classes[chosen].to(self.device)
            leaf = images[chosen].detach().requires_grad_()
            distance = self._distance(network, part, batch.images[chosen], leaf, labels)
            gradients += torch.autograd.grad(distance, [leaf])
            value += distance.detach()
        return with_gradient(value, images, torch.cat(gradients))

    def images_to_match(self, synthetic: SyntheticSet, classes: Tensor) -> Tensor:
        """Return the decoded images `(K, n, C, H, W)` of classes `(K,)` that take part in this step: all of them."""
        return synthetic.of_classes(classes)

    def _distance(
        self, network: nn.Module, draw: Draw | None, real: Tensor, synthetic: Tensor, labels: Tensor
    ) -> Tensor:
        """Return the distance of some classes' gradients; real `(K, B, C, H, W)`, synthetic `(K, n, C, H, W)`."""
        with torch.no_grad():
            real = self.augment(draw, real)
        chunk = real.shape[1] if self.real_chunk is None else max(1, self.real_chunk // len(real))
        logits = compiled(network, self.compile_objective)
        goal = class_gradients_in_chunks(network, real, labels, chunk, logits)
        with torch.autocast(self.device.type, enabled=False):  # differentiated twice: full precision
            return self.distance(goal, class_gradients(network, self.augment(draw, synthetic), labels))

    def _classes_at_once(self, real: Tensor) -> int:
        if self.class_chunk is not None:
            return self.class_chunk
        return 1 if real.device.type == "cpu" else max(1, REAL_IMAGES_AT_ONCE_ON_GPU // real.shape[1])

    def _freeze_batch_norms(self, network: nn.Module) -> None:
        """Give batch norm layers the statistics of real images and stop them, so that no image sees another."""
        layers = [module for module in network.modules() if isinstance(module, BATCH_NORMS)]
        if not layers:
            return
        data, draws = self.trainer.datamodule, generator(self.seed, "batch norm", self.iteration)
        rows = random_real(data.train_labels, self.num_classes, BATCH_NORM_IMAGES, draws, repeat=True)
        with torch.no_grad():
            network.train()(data.real_images(rows).to(self.device, next(network.parameters()).dtype))
        for layer in layers:
            layer.eval()
