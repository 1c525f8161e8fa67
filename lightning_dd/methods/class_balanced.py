"""The base of methods that compare each class's synthetic images with real images of the same class."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from lightning_dd.artifact.synthetic import SyntheticSet
from lightning_dd.augmentation import Draw
from lightning_dd.data.sampling import ClassBalanced
from lightning_dd.methods.base import Distiller
from lightning_dd.networks import Network
from lightning_dd.rng import generator
from lightning_dd.runtime.compile import compiled
from lightning_dd.runtime.options import PositiveInt
from lightning_dd.runtime.precision import at_least_float32


class ClassBalancedDistiller(Distiller):
    """A method whose step sees real images of every class, under the class's own siamese augmentation.

    Args:
        real_per_class: real images of each class in a step (the papers' batch of 256); no more than the largest has.
        real_chunk: real images in one forward; trades time for memory without changing the result. None takes 256 of
            32x32 pixels or fewer larger ones on CPU, all on a GPU. Refused for networks with batch normalization.
        **options: those of `Preparation`.
    """

    real_option = "real_per_class"

    def __init__(
        self, ipc: PositiveInt, real_per_class: PositiveInt = 256, real_chunk: PositiveInt | None = None, **options: Any
    ) -> None:
        super().__init__(ipc, **options)
        self.real_per_class, self.real_chunk = real_per_class, real_chunk

    @property
    def sampling(self) -> ClassBalanced:
        """Real images of every class at each step."""
        return ClassBalanced(self.real_per_class)

    def draw_augmentation(self, classes: Tensor) -> Draw | None:
        """Sample this step's operation for every class and return those of some; None without augmentation."""
        if self.augmentation is None:
            return None
        draws = generator(self.seed, "augmentation", self.iteration)
        return self.augmentation.draw(self.num_classes, draws, self.image_shape[1:])[classes].to(self.device)

    def augment(self, draw: Draw | None, images: Tensor) -> Tensor:
        """Return images `(K, N, C, H, W)` under the draw of their K classes."""
        return images if draw is None else self.augmentation.apply(draw, images)

    def cross_entropy_of(
        self, network: Network, synthetic: SyntheticSet, classes: Tensor, features: Tensor | None = None
    ) -> Tensor:
        """Return the mean cross-entropy under a network of the images of classes `(K,)`, augmented as in this step.

        Their features `(K, N, F)`, where they are known, spare another pass through a network that classifies by them.
        """
        if features is None or type(network).forward is not Network.forward:
            images = self.augment(self.draw_augmentation(classes), synthetic.of_classes(classes))
            logits = compiled(network, self.compile_objective)(images.flatten(0, 1))
        else:
            logits = network.classifier(features.flatten(0, 1))
        labels = classes.to(self.device).repeat_interleave(len(logits) // len(classes))
        return F.cross_entropy(at_least_float32(logits), labels)
