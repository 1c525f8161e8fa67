"""IDM: match mean features under a growing queue of networks that learn real images meanwhile."""

from typing import Any

from torch import Tensor

from lightning_dd.artifact.codecs import CodecFactory, Tiles
from lightning_dd.artifact.synthetic import SyntheticSet
from lightning_dd.data.sampling import Batch
from lightning_dd.errors import OptionError
from lightning_dd.methods.dm import DM
from lightning_dd.networks import Network
from lightning_dd.runtime.options import NonNegativeFloat, PositiveFloat, PositiveInt
from lightning_dd.training.queue import NetworkQueue


class IDM(DM):
    """Improved Distribution Matching for Dataset Condensation (Zhao et al., CVPR 2023, arXiv 2307.09742).

    As `DM`, under a network from a queue: a new one joins every `every` steps, and two are trained on real images after
    each step. To the distance of means comes the cross-entropy of the synthetic images under that network, weighted by
    the percentage p of real images that it classified rightly when it was last trained:
    `loss = sum_c || mean f(T_c) - mean f(S_c) ||² + w p CE(S_c)`.

    It departs from the official code in this: all classes make one step together, which is a step for each class with
    a momentum of its own; and p is there a mean over several trainings of the network.

    Args:
        real_per_class: real images of each class in a step; None takes the published 5,000 with one image per class
            and else 256.
        cross_entropy: w; None takes the 0.5 of most published runs, or the 0.1 of those with 50 images and more.
        every: steps after which a network joins; None takes the published 5 with one image per class and else 30.
        network_steps: training steps of a network at a time.
        codec: the paper stores four images in one.
        lr: learning rate of the stored images.
        **options: those of `DM`.

    Raises:
        OptionError: the user's source of networks does not know how well they classify.
    """

    paper = "Improved Distribution Matching for Dataset Condensation (CVPR 2023, arXiv 2307.09742)"
    published_steps = 20_000
    protocol = "dm"
    network_options = ("every", "network_steps")

    def __init__(
        self,
        ipc: PositiveInt,
        real_per_class: PositiveInt | None = None,
        cross_entropy: NonNegativeFloat | None = None,
        every: PositiveInt | None = None,
        network_steps: PositiveInt = 10,
        codec: CodecFactory = Tiles,
        lr: PositiveFloat = 0.2,
        **options: Any,
    ) -> None:
        real_per_class = real_per_class or (5000 if ipc == 1 else 256)
        super().__init__(ipc, real_per_class=real_per_class, codec=codec, lr=lr, **options)
        self.cross_entropy = (0.5 if ipc < 50 else 0.1) if cross_entropy is None else cross_entropy
        self.every, self.network_steps = every or (5 if ipc == 1 else 30), network_steps
        if self.given_networks is not None and not isinstance(self.given_networks, NetworkQueue):
            raise OptionError("networks", "must be a NetworkQueue, which knows how well its networks classify")

    def own_networks(self) -> NetworkQueue:
        """Return the queue."""
        return NetworkQueue(every=self.every, steps=self.network_steps)

    def objective(self, network: Network, synthetic: SyntheticSet, batch: Batch) -> Tensor:
        """Return the distance of features and the weighted cross-entropy, summed over the batch's classes."""
        if len(batch.classes) == 0:
            return self.no_share()
        loss, features = self.match(network, synthetic, batch)
        if not self.cross_entropy:
            return loss
        entropy = len(batch.classes) * self.cross_entropy_of(network, synthetic, batch.classes, features)
        return loss + self.cross_entropy * 100 * self.networks.accuracy * entropy
