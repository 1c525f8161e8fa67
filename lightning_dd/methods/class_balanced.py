"""What methods share that compare each class's synthetic images with real images of the same class."""

from torch import Tensor

from lightning_dd.augmentation import Draw
from lightning_dd.data.sampling import ClassBalanced
from lightning_dd.errors import check_number
from lightning_dd.methods.base import Distiller
from lightning_dd.rng import generator


class ClassBalancedDistiller(Distiller):
    """A method whose step sees real images of every class, under the class's own siamese augmentation.

    Args:
        ipc: images per class.
        real_per_class: real images of each class in a step.
        real_chunk: real images in one forward; None leaves it to the method.
    """

    def __init__(self, ipc: int, real_per_class: int = 256, real_chunk: int | None = None, **options: object) -> None:
        super().__init__(ipc, **options)
        for name, value in (("real_per_class", real_per_class), ("real_chunk", real_chunk)):
            check_number(name, value)
        self.real_per_class = real_per_class
        self.real_chunk = real_chunk

    @property
    def sampling(self) -> ClassBalanced:
        """Real images of every class at each step."""
        return ClassBalanced(self.real_per_class)

    def synthetic(self, classes: Tensor) -> Tensor:
        """Return the synthetic images of some classes, `(K, ipc, C, H, W)`."""
        return self.decode()[0].view(self.num_classes, self.ipc, *self.image_shape)[classes]

    def draw_augmentation(self, classes: Tensor) -> Draw | None:
        """Draw this step's operation of each class, for all classes alike; None without augmentation."""
        if self.augmentation is None:
            return None
        draw = self.augmentation.draw(
            self.num_classes, generator(self.seed, "augmentation", self.iteration), self.image_shape[1:]
        )
        return draw[classes.cpu()].to(self.device)

    def augment(self, draw: Draw | None, images: Tensor) -> Tensor:
        """Return images `(K, N, C, H, W)` under the draw of their K classes."""
        return images if draw is None else self.augmentation.apply(draw, images)
