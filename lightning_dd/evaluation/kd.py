"""Knowledge distillation: a teacher that the set brings labels every augmented view (RDED, arXiv 2312.03526)."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.files import tensor_digest
from lightning_dd.artifact.labels import TEACHER, Regime
from lightning_dd.augmentation.cutmix import cutmix
from lightning_dd.augmentation.resized_crop import crop_boxes, draw_boxes, mirror_some, shuffle_patches
from lightning_dd.errors import UserError
from lightning_dd.evaluation.protocol import Protocol
from lightning_dd.networks import ConvNet, Network
from lightning_dd.networks.build import sample
from lightning_dd.networks.named import recorded_network
from lightning_dd.training.data import NOT_MIRRORED
from lightning_dd.training.loop import Augmentation, mini_batches

RATIO = (3 / 4, 4 / 3)
"""Width over height of a crop."""
BATCHES = {10: 10, 100: 50}
"""Images in a step by the largest number of images of ten classes that have so many; larger sets have `LARGEST_BATCH`.

Sets of 100 and of 1,000 classes have twice as many in a step, by the same numbers of each class.
"""
LARGEST_BATCH = 100
RATES = {"AlexNet": 1e-4, "VGG11": 5e-4, "efficientnet_b0": 2e-3, "mobilenet_v2": 2.5e-3, "vit": 1e-4, "swin": 1e-4}
"""Learning rates of networks that have not the usual one, by how their name begins."""
_NO_TEACHER = (
    "{evaluation.protocol} kd takes labels from the teacher of a set, and this one brings none: distill with RDED, or "
    "use another protocol."
)


@dataclass(frozen=True)
class KDProtocol(Protocol):
    """AdamW under the Kullback-Leibler divergence from a teacher's softened answers to a network's.

    Each mini-batch is shuffled in patches, cropped, mirrored and mixed by CutMix; the teacher answers for what comes
    out. The learning rate falls along half a cosine, to a half of it. Labels of the set are not used.

    It departs from the official code in this: the accuracy is that of the last epoch, not the best on the test images;
    no network sees a batch twice, as there the pass does that measures the training accuracy; images are normalized as
    their data set is, not as ImageNet; and test images above 32 pixels are not enlarged by 1/7 and cut back.

    Attributes:
        batch_size: None takes the published number for the number of images; see `BATCHES`.
        classes: 10, or 100 or 1,000 for the published number of sets that have so many.
        temperature: T, by which logits are divided; the loss is not multiplied by its square, as published.
        factor: patches along a side of an image, of the set's recipe; 1 shuffles none.
        smallest_crop: least share of the image in a crop, 1 / factor; 1 crops nothing.
        teacher: digest of the weights of the set's teacher.
    """

    augmentation: str | None = "patches_crop_flip_cutmix"
    learning_rate: float = 1e-3
    momentum: float = 0.0
    weight_decay: float = 0.01
    batch_size: int | None = None
    labels: Regime = "kd"
    temperature: float = 20.0
    factor: int = 1
    smallest_crop: float = 1.0
    teacher: str = ""
    classes: int = 10

    def for_data(self, data: str, network: nn.Module | None) -> "KDProtocol":
        """Return the protocol for a data set, of which digits are not mirrored, and for a network, None the ConvNet."""
        name = str(getattr(network, "name", type(network).__name__))
        rate = next((rate for start, rate in RATES.items() if name.startswith(start)), self.learning_rate)
        if data == "cifar100" and isinstance(network, ConvNet | None):
            return replace(self, batch_size=25, learning_rate=2e-3)
        batch = {"cifar100": {"classes": 100}, "tiny_imagenet": {"batch_size": 100}}.get(data, {})
        views = {"augmentation": "patches_crop_cutmix"} if data in NOT_MIRRORED else {}
        return replace(self, learning_rate=rate, **batch, **views)

    def bind(self, recipe: dict[str, Any]) -> "KDProtocol":
        """Return the protocol with the set's teacher and factor.

        Raises:
            UserError: the set brings no teacher, or one whose network is not of this package.
        """
        if "teacher" not in recipe:
            raise UserError(_NO_TEACHER)
        recorded_network(recipe["teacher"]["network"])
        factor, patches = recipe.get("factor", 1), 1 if recipe.get("whole") else recipe.get("factor", 1)
        many = {"classes": number} if (number := recipe["teacher"].get("classes")) in (100, 1000) else {}
        digest = recipe["teacher"].get("digest", "")
        return replace(self, teacher=digest, factor=patches, smallest_crop=1 / factor, **many)

    def for_real(self) -> "KDProtocol":
        """Return the protocol for whole images, whose patches belong where they are."""
        return replace(self, factor=1)

    def augment(self, strategy: str | None) -> Augmentation | None:
        """Return the patches, crops and mirror images, whatever operations the set was distilled with."""
        if self.augmentation is None:
            return None

        def views(images: Tensor, draws: torch.Generator) -> Tensor:
            size = tuple(images.shape[2:])
            if self.factor > 1:
                images = shuffle_patches(images, self.factor, draws)
            if self.smallest_crop < 1:
                images = crop_boxes(images, draw_boxes(len(images), size, (self.smallest_crop, 1), RATIO, draws), size)
            return mirror_some(images, draws) if "flip" in self.augmentation else images

        return views

    def batches(
        self,
        images: Tensor,
        labels: Tensor,
        rows: Iterable[Tensor],
        distilled: DistilledDataset,
        augment: Augmentation | None,
        generator: torch.Generator,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield views and the teacher's logits `(B, num_classes)`; see `Protocol.batches`."""
        teacher = teacher_of(distilled)
        if teacher is None:
            raise UserError(_NO_TEACHER)
        teacher = teacher.to(images)
        for views, classes in mini_batches(images, labels, rows, augment, generator):
            if self.augmentation is not None:
                views, _ = cutmix(views, classes, distilled.num_classes, generator)
            with torch.no_grad():
                answers = teacher(views)
            yield views, answers

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the divergence, mean over a batch, of logits `(B, C)` from a teacher's, `(B, C)`."""
        wide = torch.promote_types(logits.dtype, torch.float32)
        ours, teachers = (values.to(wide).div(self.temperature).log_softmax(1) for values in (logits, labels))
        return F.kl_div(ours, teachers, reduction="batchmean", log_target=True)

    @property
    def total_epochs(self) -> int:
        """Epochs that are run: E."""
        return self.epochs

    def steps_per_epoch(self, num_images: int) -> int:
        """Return in how many batches a set of that size is shown."""
        return math.ceil(num_images / self._batch(num_images))

    def rows(self, num_images: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Yield the rows of one mini-batch after another, without end."""
        while True:
            yield from self.order(num_images, generator).split(self._batch(num_images))

    def lr_factor(self, step: int, num_images: int) -> float:
        """Return the factor of the learning rate at a step: from 1 to 1/2."""
        epoch = step // self.steps_per_epoch(num_images)
        return (1 + math.cos(math.pi / 2 * epoch / self.epochs)) / 2

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return a fresh optimizer for a network; biases and the weights of normalization do not decay."""
        decaying, others = ([p for p in network.parameters() if (p.ndim in (2, 4)) == many] for many in (True, False))
        groups = [{"params": decaying, "weight_decay": self.weight_decay}, {"params": others, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, self.learning_rate)

    def _batch(self, num_images: int) -> int:
        found = (batch for most, batch in BATCHES.items() if num_images * 10 <= most * self.classes)
        return self.batch_size or next(found, LARGEST_BATCH) * (2 if self.classes >= 100 else 1)


def teacher_recipe(network: Network, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Return what the recipe of a set says of its teacher, whose `tensors` are those of `teacher_tensors`."""
    return {"network": network.made_from, **({"digest": tensor_digest(tensors)} if tensors else {})}


def teacher_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a teacher's weights on the CPU, by their names in a set."""
    return {TEACHER + name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def teacher_of(distilled: DistilledDataset) -> nn.Module | None:
    """Return the teacher that a set brings, on the CPU and in eval mode; None where it brings none.

    Raises:
        UserError: the weights are not those of the network that the recipe names.
    """
    tensors = distilled.teacher
    if not tensors or "teacher" not in distilled.recipe:
        return None
    factory = recorded_network(distilled.recipe["teacher"]["network"])
    return load_teacher(sample(factory, distilled.image_shape, distilled.num_classes), tensors)


def load_teacher(network: nn.Module, tensors: dict[str, Tensor]) -> nn.Module:
    """Return the network with a teacher's weights, as `teacher_tensors` gave them, in eval mode.

    Raises:
        UserError: they are another network's.
    """
    try:
        network.load_state_dict({name.removeprefix(TEACHER): tensor for name, tensor in tensors.items()})
    except RuntimeError:
        raise UserError(
            "The teacher's weights are not those of the network that the set names; it is damaged."
        ) from None
    return network.eval().requires_grad_(False)
