"""Where a method's networks come from. They are private state: never parameters of the method, never submodules."""

import torch
from torch import nn

from lightning_dd.networks.base import Network
from lightning_dd.networks.build import NetworkFactory, build
from lightning_dd.rng import generator


class FreshNetworks:
    """A network with new random weights at every iteration.

    One module serves all iterations: its weights are drawn again in place, so that nothing compiled is lost.

    Args:
        factory: builds a network for an image shape and a number of classes.
        image_shape: `(C, H, W)`.
        num_classes: outputs of the network.
        seed: the run's seed.
        trainable: whether the weights ask for gradients.
    """

    def __init__(
        self,
        factory: NetworkFactory,
        image_shape: tuple[int, int, int],
        num_classes: int,
        seed: int,
        trainable: bool = False,
    ) -> None:
        self.factory = factory
        self.image_shape = image_shape
        self.num_classes = num_classes
        self.seed = seed
        self.trainable = trainable
        self._network: nn.Module | None = None

    @property
    def current(self) -> nn.Module | None:
        """The network that `at` returned last, with what has become of its weights since."""
        return self._network

    def at(self, iteration: int, device: torch.device) -> nn.Module:
        """Return the network of an iteration, in train mode.

        A network of this package is the same object every time, with other weights; a foreign module is built anew.
        """
        weights = generator(self.seed, "network", iteration, device)
        if isinstance(self._network, Network):
            self._network.initialize(weights).train()
        else:  # a foreign module draws its weights when it is built
            network = build(self.factory, self.image_shape, self.num_classes, weights, device)
            self._network = network.train().requires_grad_(self.trainable)
        return self._network
