"""RDED: crops of real images that a teacher is sure of, tiled, and labeled by the teacher."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_dd.artifact.labels import Labels
from lightning_dd.augmentation.resized_crop import crop_boxes, draw_boxes
from lightning_dd.coresets.random_real import check_sizes
from lightning_dd.errors import OptionError, UserError
from lightning_dd.evaluation.kd import load_teacher, teacher_recipe, teacher_tensors
from lightning_dd.methods.one_shot import OneShot
from lightning_dd.methods.summary import network_text
from lightning_dd.networks import Network
from lightning_dd.networks.build import sample
from lightning_dd.rng import generator
from lightning_dd.runtime.options import PositiveInt
from lightning_dd.training.chunks import chunk_size
from lightning_dd.training.loop import accuracy
from lightning_dd.training.pretrained import PretrainedNetworks, Recipe
from lightning_dd.training.saved import SavedNetwork
from lightning_dd.training.sources import NetworkSource, RandomNetworks

WHOLE_UP_TO = 64  # pixels of a side, above which four crops make an image
LEAST_AREA = 0.08  # of an image in a crop: torchvision's default
IMAGES_AT_ONCE = 64  # cut into crops


class RDED(OneShot):
    """On the Diversity and Realism of Distilled Dataset (Sun et al., CVPR 2024, arXiv 2312.03526).

    A teacher trained on the real images scores random crops of them by its cross-entropy. The best crop of each image
    is kept, and of these the best of each class; `factor` x `factor` of them, in the order of their scores, make one
    stored image. Networks learn what the teacher says of each augmented view (protocol `kd`), so the set carries the
    teacher. Real images are looked at a few at a time, so they need not fit into memory.

    It departs from the official code in this: stored images are neither rounded to 8 bits nor compressed as JPEG; where
    a class has too few images, its images give several crops; images that are not square are cut in their own
    proportions; and the teacher is trained by `network_recipe`, where the authors give weights without their recipe
    (`weights` takes such). Their ConvNets have batch normalization, which the configs ask for.

    Args:
        candidates: real images of each class that are looked at, at random; no fewer than the crops that are wanted.
        crops: random ones of each image.
        factor: crops along a side of a stored image; None takes 1 up to 64 pixels and 2 above, as published.
        labels: `kd`, those of the teacher for each view; `soft`, its logits for each stored image, or `hard`. It
            decides the protocol (`kd`, `common_soft`, `common`); the set carries the teacher in any case.
        weights: a file with the weights of the teacher, `network`; see `SavedNetwork`. None trains it.
        network_epochs: epochs in which it is trained.
        network_recipe: how; see `PretrainedNetworks`.
        networks: any other source of the teacher, in place of these.
        compile: compile that training.
        **options: those of `OneShot`.

    Raises:
        UserError: `setup` raises it where the images are whitened, or a class has fewer than `ipc`.
    """

    paper = "On the Diversity and Realism of Distilled Dataset (CVPR 2024, arXiv 2312.03526)"
    protocol = "kd"
    protocols: ClassVar[dict[str, str]] = {"kd": "kd", "soft": "common_soft", "hard": "common"}
    needs = RandomNetworks.gives
    memory_option = "{model.network.width}"

    def __init__(
        self,
        ipc: PositiveInt,
        candidates: PositiveInt = 300,
        crops: PositiveInt = 5,
        factor: PositiveInt | None = None,
        labels: Literal["kd", "soft", "hard"] = "kd",
        weights: str | None = None,
        network_epochs: PositiveInt = 60,
        network_recipe: Recipe = "fast",
        networks: NetworkSource | None = None,
        compile: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(ipc, init="real", feature_epochs=1, **options)
        self.given_networks, self.compile_objective = self.checked_source(networks), compile
        self.candidates, self.crops, self.labels = candidates, crops, labels
        self.weights, self.network_epochs, self.network_recipe = weights, network_epochs, network_recipe
        sides = self.image_shape[1:]
        self.factor = factor or (1 if max(sides) <= WHOLE_UP_TO else 2)
        if self.factor > min(sides):
            raise OptionError("factor", f"must be at most the {min(sides)} pixels of a side, got {factor}")
        self.protocol = self.protocols[labels]
        if labels == "soft":
            self.synthetic.labels = Labels(torch.zeros(len(self.synthetic), self.num_classes), "logits")
        self._teacher: dict[str, Tensor] = {}  # its weights, for the set and for checkpoints
        self._checked: dict[str, Any] = {}  # its accuracy

    def own_networks(self) -> NetworkSource:
        """Return the teacher, read from a file or trained on the real images."""
        return (
            SavedNetwork(self.weights)
            if self.weights
            else PretrainedNetworks(1, self.network_epochs, self.network_recipe)
        )

    def make(self, draws: torch.Generator) -> Tensor:
        """Return the images, `(N, C, H, W)`, with the teacher's labels where these are stored."""
        data, wanted = self.trainer.datamodule, self.synthetic.images_per_class
        if data.preprocessing.kind == "whitening":
            raise UserError("RDED cuts crops out of images, which whitened ones do not allow: leave {data.zca} out.")
        check_sizes(data.train_labels, self.num_classes, wanted, data.class_names, self.repeat_images, noise=False)
        self._check_teacher()
        best = [self.best_crops(index, self.factor**2 * wanted) for index in range(self.num_classes)]
        images = torch.cat([tiled(crops, self.factor, self.image_shape[1:]) for crops in best])
        if self.labels == "soft":
            self.synthetic.labels.values.copy_(self._answers(images))
        return images

    def best_crops(self, index: int, wanted: int) -> Tensor:
        """Return the crops of a class that the teacher is surest of, `(wanted, C, h, w)`, best first."""
        draws, data = generator(self.seed, "rded", index), self.trainer.datamodule
        members = (data.train_labels == index).nonzero().flatten()
        count = max(wanted, min(self.candidates, len(members)))
        rows = members[torch.randperm(len(members), generator=draws)][torch.arange(count) % len(members)]
        size, ratio = self.image_shape[1:], self.image_shape[2] / self.image_shape[1]
        boxes = draw_boxes(count * self.crops, size, (LEAST_AREA, 1.0), (ratio, ratio), draws).view(count, -1, 4)
        found = [
            self._best_of_each(data.real_images(some), places, index)
            for some, places in zip(rows.split(IMAGES_AT_ONCE), boxes.split(IMAGES_AT_ONCE), strict=True)
        ]
        crops, losses = (torch.cat(parts) for parts in zip(*found, strict=True))
        return crops[losses.argsort(stable=True)[:wanted]]

    def _best_of_each(self, images: Tensor, boxes: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """Return of images `(n, C, H, W)` of a class the best crop in boxes `(n, m, 4)` of each, and its loss."""
        side = tuple(pixels // self.factor for pixels in self.image_shape[1:])
        crops = crop_boxes(images.repeat_interleave(self.crops, 0), boxes.flatten(0, 1), side)
        answers = self._answers(centered(crops, self.image_shape[1:]))
        losses = F.cross_entropy(answers, torch.full((len(crops),), index), reduction="none").view(len(images), -1)
        best = losses.argmin(1)
        return crops.unflatten(0, losses.shape)[torch.arange(len(best)), best], losses.amin(1)

    def _answers(self, images: Tensor) -> Tensor:
        """Return the teacher's logits `(n, num_classes)` on the CPU, of images `(n, C, H, W)` of any number."""
        teacher, context = self._network(), getattr(self.networks, "context", None)
        device = self.device if context is None else context.device
        parts = images.split(chunk_size(None, teacher, images))
        return torch.cat([teacher(part.to(device)).float().cpu() for part in parts])

    def _network(self) -> Network:
        """Return the teacher: that of the checkpoint where a run is tested, for which no source was set up."""
        if hasattr(self.networks, "context"):
            return self.networks.at(0).eval()
        network = sample(self.network, self.image_shape, self.num_classes)
        return load_teacher(network, self._teacher).to(self.device)

    def _check_teacher(self) -> None:
        """Measure the teacher on the held-out images, where there are some, or else on the test images, if any."""
        data, device = self.trainer.datamodule, self.networks.context.device
        split = "held_out" if len(data.held_out_labels) else "test"
        preprocess, teacher = data.preprocessing_on(device), self._network()
        self._teacher = teacher_tensors(teacher)
        if not len(data.held_out_labels) and not len(data.test_labels):
            return
        right = accuracy(lambda pixels: teacher(preprocess(pixels.to(device))).cpu(), *data.split(split))
        self._checked = {"accuracy": round(right, 2), "split": split}

    def labels_of(self, images: Tensor, classes: Tensor) -> Labels:
        """Return the teacher's logits of real images where the set has such labels, or else their classes."""
        if self.labels != "soft":
            return Labels(classes)
        with torch.no_grad():
            return Labels(self._answers(images.cpu()), "logits")

    def recipe(self) -> dict[str, Any]:
        """Return how networks are trained on the set, with the teacher and the number of patches."""
        network = sample(self.network, self.image_shape, self.num_classes)
        teacher = {**teacher_recipe(network, self._teacher), "classes": self.num_classes, **self._checked}
        return {**super().recipe(), "teacher": teacher, "factor": self.factor}

    def recipe_tensors(self) -> dict[str, Tensor]:
        """Return the teacher's weights."""
        return self._teacher

    def resolved(self) -> dict[str, Any]:
        """Return what options came to, and how good the teacher is."""
        return {**super().resolved(), **{f"teacher_{name}": value for name, value in self._checked.items()}}

    def summary(self) -> dict[str, str]:
        """Return what the start of a run says of the method; its network is the teacher."""
        teacher = network_text(sample(self.network, self.image_shape, self.num_classes))
        found = self._checked
        right = f"; {found['accuracy']:.1f} % of the {found['split']} images right" if found else ""
        rows = {name: row for name, row in super().summary().items() if name != "network"}
        return {"teacher": f"{teacher}{right}", **rows}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the teacher, which a test of the checkpoint needs."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["distiller"]["teacher"] = {"tensors": self._teacher, "checked": self._checked}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the teacher."""
        super().on_load_checkpoint(checkpoint)
        saved = checkpoint["distiller"].get("teacher")
        if saved is None:
            raise UserError("The checkpoint is damaged: it lacks the teacher.")
        self._teacher, self._checked = saved["tensors"], saved["checked"]


def centered(crops: Tensor, size: tuple[int, int]) -> Tensor:
    """Return crops `(n, C, h, w)` in the middle of images of `size`, (H, W), that are zero elsewhere."""
    top, left = ((whole - part) // 2 for whole, part in zip(size, crops.shape[2:], strict=True))
    bottom, right = size[0] - crops.shape[2] - top, size[1] - crops.shape[3] - left
    return F.pad(crops, (left, right, top, bottom))


def tiled(crops: Tensor, factor: int, size: tuple[int, int]) -> Tensor:
    """Return `factor²` n crops `(factor² n, C, h, w)` as n images of `size`: the first n are the upper left tiles."""
    grid = crops.unflatten(0, (factor, factor, -1)).permute(2, 3, 0, 4, 1, 5)
    images = grid.flatten(4, 5).flatten(2, 3)
    return images if images.shape[2:] == size else F.interpolate(images, size, mode="bilinear")
