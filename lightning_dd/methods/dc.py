"""DC: match the gradients of a network on real and on synthetic images, class by class."""

from typing import Literal

import torch
from torch import Tensor, nn

from lightning_dd.augmentation import Draw
from lightning_dd.coresets import random_real
from lightning_dd.data.sampling import Batch
from lightning_dd.errors import UserError, check_number
from lightning_dd.losses import DISTANCES, with_gradient
from lightning_dd.methods.base import Init
from lightning_dd.methods.class_balanced import ClassBalancedDistiller
from lightning_dd.networks.base import BATCH_NORMS
from lightning_dd.rng import generator
from lightning_dd.training.inner import train_on_synthetic
from lightning_dd.training.sources import FreshNetworks
from lightning_dd.unroll.class_gradients import Logits, class_gradients, class_gradients_in_chunks

PUBLISHED_NETWORKS = 1000
PUBLISHED_LOOPS = {1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10)}
REAL_IMAGES_AT_ONCE_ON_GPU = 2560  # ten published classes; not measured
BATCH_NORM_IMAGES = 16  # of each class, for running statistics


def default_loops(ipc: int) -> tuple[int, int]:
    """Return updates of the images per network, and epochs of training between them.

    The published pairs for 1, 10, 20, 30, 40 and 50 images per class. In between they continue what the published ones
    have in common, one update per image of a class and about 500 epochs in all; above 50, those of 50.
    """
    outer = min(ipc, 50)
    return PUBLISHED_LOOPS.get(outer, (outer, max(1, round(500 / outer))))


class DC(ClassBalancedDistiller):
    """Dataset Condensation with Gradient Matching (Zhao, Mopuri and Bilen, ICLR 2021, arXiv 2006.05929).

    A random network lives for `outer_loops` steps. Each step moves the images so that, for each class, the gradient of
    the network's weights on them agrees with that on real images; the network is then trained on the images.

    Args:
        ipc: images per class.
        real_per_class: real images of each class in a step (256 in the paper).
        outer_loops: updates of the images per network; None takes the published number for this `ipc`.
        inner_epochs: epochs of training on the images between two updates; None takes the published number.
        lr_network: learning rate of that training (SGD without momentum).
        batch_size: images in a step of that training.
        distance: `rowwise`, the paper's (1 - cosine for each output unit); `mse` or `cos` of all gradients together.
        class_chunk: classes in one batched gradient; trades time for memory without changing the result. None takes 1
            on CPU, and on a GPU as many as have 2,560 real images together.
        real_chunk: real images in one forward, likewise; None takes all images of those classes.
        init: `noise`, as published, or another of `Distiller`'s.
        augmentation: DSA operations joined by `_`, for matching and for training; None for none.
        lr: learning rate of the images (the paper: 0.1; 0.01 for an MLP).

    Raises:
        UserError: an option is out of its range.
    """

    paper = "Dataset Condensation with Gradient Matching (ICLR 2021, arXiv 2006.05929)"
    protocol = "dc"
    memory_option = "--model.class_chunk, --model.real_chunk or --model.real_per_class"

    def __init__(
        self,
        ipc: int,
        real_per_class: int = 256,
        outer_loops: int | None = None,
        inner_epochs: int | None = None,
        lr_network: float = 0.01,
        batch_size: int = 256,
        distance: Literal["rowwise", "mse", "cos"] = "rowwise",
        class_chunk: int | None = None,
        real_chunk: int | None = None,
        init: Init = "noise",
        augmentation: str | None = None,
        lr: float = 0.1,
        **options: object,
    ) -> None:
        super().__init__(ipc, real_per_class, real_chunk, init=init, augmentation=augmentation, lr=lr, **options)
        counts = {"outer_loops": outer_loops, "batch_size": batch_size, "class_chunk": class_chunk}
        for name, value in counts.items():
            check_number(name, value)
        if inner_epochs is not None and inner_epochs < 0:
            raise UserError(f"--model.inner_epochs is a number of epochs and cannot be {inner_epochs}.")
        if lr_network <= 0:
            raise UserError(f"--model.lr_network is a learning rate, above 0, and cannot be {lr_network}.")
        loops = default_loops(ipc)
        self.outer_loops = loops[0] if outer_loops is None else outer_loops
        self.inner_epochs = loops[1] if inner_epochs is None else inner_epochs
        self.lr_network, self.batch_size, self.class_chunk = lr_network, batch_size, class_chunk
        self.distance = DISTANCES[distance]
        self._networks = FreshNetworks(self.network, self.image_shape, self.num_classes, self.seed, trainable=True)
        self._compiled: tuple[nn.Module, Logits] | None = None
        self._saved: dict[str, Tensor] = {}

    @property
    def published_steps(self) -> int:
        """1,000 networks, each for its outer loop."""
        return PUBLISHED_NETWORKS * self.outer_loops

    def loss(self, batch: Batch) -> Tensor:
        """Return the distance of real and synthetic gradients, summed over the batch's classes."""
        if len(batch.classes) == 0:  # more processes than classes: this one has no share
            return self.images.sum() * 0
        network = self._current_network()
        self._freeze_batch_norms(network)
        draw = self.draw_augmentation(batch.classes)
        synthetic = self.synthetic(batch.classes)
        value, gradients = self.images.new_zeros(()), []
        for rows in torch.arange(len(batch.classes)).split(self._classes_at_once(batch.images)):
            chosen = slice(int(rows[0]), int(rows[-1]) + 1)
            part = None if draw is None else draw[chosen]
            labels = batch.classes[chosen].to(self.device)
            leaf = synthetic[chosen].detach().requires_grad_()
            distance = self._distance(network, part, batch.images[chosen], leaf, labels)
            gradients += torch.autograd.grad(distance, [leaf])
            value += distance.detach()
        return with_gradient(value, synthetic, torch.cat(gradients))

    def update_networks(self) -> None:
        """Train the network on the images, but for its last update: the next step has a network of its own."""
        if (self.iteration + 1) % self.outer_loops == 0:
            return
        images, labels = self.decode()
        network = self._networks.current.train()
        # weights change in place, which a cache of their bf16 copies would not notice
        mixed = torch.is_autocast_enabled(self.device.type)
        with torch.autocast(self.device.type, enabled=mixed, cache_enabled=False):
            train_on_synthetic(
                list(network.parameters()),
                self._logits(network),
                images.detach(),
                labels,
                self.inner_epochs,
                self.lr_network,
                self.batch_size,
                generator(self.seed, "inner training", self.iteration),
                self.augmentation,
            )

    def private_state(self) -> dict[str, Tensor]:
        """Return the network in the middle of its outer loop."""
        network = self._networks.current
        if network is None or self.iteration % self.outer_loops == 0:
            return {}
        return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    def load_private_state(self, state: dict[str, Tensor]) -> None:
        """Take back the network; it is built when a step needs it."""
        self._saved = state

    def _current_network(self) -> nn.Module:
        number, position = divmod(self.iteration, self.outer_loops)
        if position and self._networks.current is not None and not self._saved:
            return self._networks.current
        network = self._networks.at(number, self.device)
        if position and self._saved:
            network.load_state_dict(self._saved)
        self._saved = {}
        return network

    def _distance(
        self, network: nn.Module, draw: Draw | None, real: Tensor, synthetic: Tensor, labels: Tensor
    ) -> Tensor:
        """Return the distance of some classes' gradients; real `(K, B, C, H, W)`, synthetic `(K, ipc, C, H, W)`."""
        with torch.no_grad():
            real = self.augment(draw, real)
        chunk = real.shape[1] if self.real_chunk is None else max(1, self.real_chunk // len(real))
        goal = class_gradients_in_chunks(network, real, labels, chunk, self._logits(network))
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
        data = self.trainer.datamodule
        draw = generator(self.seed, "batch norm", self.iteration)
        indices = random_real(data.train_labels, self.num_classes, BATCH_NORM_IMAGES, draw, repeat=True)
        with torch.no_grad():
            network.train()(data.real_images(indices).to(self.device, self.images.dtype))
        for layer in layers:
            layer.eval()

    def _logits(self, network: nn.Module) -> Logits:
        if not self.compile_objective:
            return network
        if self._compiled is None or self._compiled[0] is not network:
            self._compiled = network, torch.compile(network, dynamic=False)
        return self._compiled[1]
