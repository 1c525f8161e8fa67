"""`ImageData`: the base of all data modules, from the split to the preprocessed batch on the device."""

import math
import os
from typing import Any, Literal

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_dd.artifact.checks import check_class_names
from lightning_dd.artifact.preprocessing import Normalization, Preprocessing, Whitening
from lightning_dd.data.batches import InMemoryImages, RealBatches
from lightning_dd.data.catalog import DatasetInfo
from lightning_dd.data.decoding import Decoding, conversions
from lightning_dd.data.lazy import Images, LazyImages, take
from lightning_dd.data.sampling import Batch
from lightning_dd.data.splits import stratified_split
from lightning_dd.data.zca import fit_zca, load_or_fit_zca
from lightning_dd.errors import UserError
from lightning_dd.rng import generator
from lightning_dd.runtime.options import CheckedOptions, Fraction

MEASURED_BYTES = 2**27  # of images that stay in their files
MEASURED_AT_ONCE = 2**24  # pixels, which double precision makes eight times as large
NamedStatistics = Literal["published", "measured", "frepo", "mtt"]


class ImageData(CheckedOptions, LightningDataModule):
    """Images in memory, or in their files where a subclass says so, given out as the method's `sampling` asks for.

    A subclass says `facts` (or sets `name`, `num_classes`, `image_shape` and `class_names` before calling this
    constructor) and writes `load(split)`.

    Args:
        root: the folder that holds the data.
        normalization: channel statistics. "published" is what most papers use for this set, and is measured where
            papers have none; "measured" takes the training part's own; "frepo" and "mtt" are what these papers use;
            or give `{mean: [...], std: [...]}` in [0, 1] pixel units.
        zca: whiten by the recipe of "mtt" (on raw pixels, `normalization` is not used) or of "frepo" (after
            `normalization`; the paper's own is "frepo").
        held_out: fraction of each class that is not trained on, for choosing; the same images for every seed.
        cache: keep decoded images and fitted ZCA in `$LIGHTNING_DD_CACHE` or `~/.cache/lightning_dd`.

    Attributes:
        name: in snake case.
        num_classes: K.
        image_shape: `(C, H, W)`.
        class_names: in label order.
        train_images: `(N, C, H, W)` uint8, or float32 in [0, 1] where the source gave such, or `LazyImages`; after
            `setup`, as are `test_images` and `held_out_images`.
        train_labels: `(N,)` int64; likewise `test_labels` and `held_out_labels`.
        preprocessing: from pixels to the space in which networks are trained, on the CPU; after `setup`.

    Raises:
        UserError: if an argument makes no sense; `setup` raises it where data is missing or wrong.
    """

    option_group = "data"
    facts: DatasetInfo | None = None
    name: str
    num_classes: int
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    crop: bool = False
    """Whether images of other sizes have the shorter side resized and the center cut out."""
    decoding: Decoding | None = None
    """The form that image files are brought to, of a subclass that notes their `originals`."""

    def __init__(
        self,
        root: str = "data",
        normalization: NamedStatistics | dict[str, list[float]] = "published",
        zca: Literal["mtt", "frepo"] | None = None,
        held_out: Fraction = 0.0,
        cache: bool = True,
    ) -> None:
        super().__init__()
        if self.facts:
            self.name, self.image_shape = self.facts.name, self.facts.image_shape
            self.class_names = self.facts.class_names
            self.num_classes = len(self.class_names)
        if hasattr(self, "class_names"):
            check_class_names(self.class_names)
        self.root, self.normalization, self.zca = os.path.expanduser(root), normalization, zca
        self.held_out, self.cache = held_out, cache
        self._statistics = self._known_statistics()
        self.originals: list[Tensor] = []  # of the images that were decoded, as `decode_all` gives them
        self._on_device: Preprocessing | None = None

    def load(self, split: str) -> tuple[Images, Tensor]:
        """Return images `(N, C, H, W)` and labels `(N,)` of the whole "train" or "test" part."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        """Load both parts, set the held-out images aside and fit the preprocessing; the second call does nothing."""
        if hasattr(self, "preprocessing"):
            return
        images, labels = self.load("train")
        self.test_images, self.test_labels = self.load("test")
        self._check(labels)
        kept, aside = stratified_split(labels, self.held_out, generator(0, "held_out"))
        self.held_out_images, self.held_out_labels = take(images, aside), labels[aside]
        # The usual case keeps all: no second copy in memory.
        self.train_images, self.train_labels = (take(images, kept), labels[kept]) if len(aside) else (images, labels)
        self.preprocessing = self._fit_preprocessing()

    def split(self, name: str) -> tuple[Images, Tensor]:
        """Return images and labels of "train", "test" or "held_out", not preprocessed.

        Raises:
            UserError: if there is no such part, or if it is empty.
        """
        if name not in ("train", "test", "held_out"):
            raise UserError(f"there is no split {name!r}: choose train, test or held_out")
        images, labels = getattr(self, f"{name}_images"), getattr(self, f"{name}_labels")
        if not len(images):
            held_out = "set {data.held_out} to a fraction above 0"
            files = f"look at the files in {self.root}"
            remedies = {"held_out": held_out, "test": f"{files}, or set {{evaluation.enabled}} to false"}
            remedy = remedies.get(name, files)
            raise UserError(f"the {name} part of {self.name} is empty: {remedy}")
        return images, labels

    @property
    def departures(self) -> list[str]:
        """Differences of the loaded training images from the published set, for every record of a result on them."""
        published, ours = self.facts.num_train if self.facts else None, len(self.train_images)
        return [f"{ours:,} of {published:,} training images"] if published and ours != published else []

    @property
    def conversions(self) -> list[str]:
        """The changes that decoding made to the images of all parts, in words."""
        return conversions(torch.cat(self.originals), self.decoding) if self.originals else []

    def real_images(self, indices: Tensor) -> Tensor:
        """Return the training images at positions `(n,)`, `(n, C, H, W)`, preprocessed, on the CPU."""
        return self.preprocessing(self.train_images[indices.cpu()])

    def train_dataloader(self) -> DataLoader:
        """Return an endless loader of what the method's `sampling` asks for, from its `iteration` on."""
        module, trainer = self.trainer.lightning_module, self.trainer
        device = trainer.strategy.root_device
        images, labels = self.train_images, self.train_labels
        if device.type == "cuda" and not isinstance(images, LazyImages):
            images, labels = images.to(device), labels.to(device)
        wanted = module.sampling, module.seed, lambda: int(module.iteration)
        share = trainer.global_rank, trainer.world_size
        batches = RealBatches(self.train_labels, self.num_classes, *wanted, *share)
        return DataLoader(InMemoryImages(images, labels), batch_size=None, sampler=batches)

    def test_dataloader(self) -> DataLoader:
        """Return one batch that means nothing: an evaluation callback does the testing."""
        return DataLoader([torch.zeros(1)])

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move the images and labels of a batch; its classes stay on the CPU, where they choose rows and draws."""
        if not isinstance(batch, Batch):
            return super().transfer_batch_to_device(batch, device, dataloader_idx)
        return batch._replace(images=batch.images.to(device), labels=batch.labels.to(device))

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Preprocess a batch's images where they are, in the run's precision."""
        if not isinstance(batch, Batch):
            return batch
        batch = batch._replace(images=self.preprocessing_on(batch.images.device)(batch.images))
        return self.trainer.precision_plugin.convert_input(batch) if self.trainer else batch

    def preprocessing_on(self, device: torch.device) -> Preprocessing:
        """Return the preprocessing with what it needs on a device."""
        if not isinstance(self.preprocessing, Whitening):
            return self.preprocessing
        if self._on_device is None or self._on_device.center.device != device:
            self._on_device = self.preprocessing.to(device)
        return self._on_device

    def _known_statistics(self) -> Normalization | None:
        """Return the normalization that was asked for, or None where it is to be measured."""
        wanted, channels = self.normalization, self.image_shape[0]
        if isinstance(wanted, dict):
            lists = [value for value in wanted.values() if isinstance(value, list | tuple) and len(value) == channels]
            right = set(wanted) == {"mean", "std"} and len(lists) == len(wanted)
            finite = right and all(map(math.isfinite, (*wanted["mean"], *wanted["std"])))
            if not finite or min(wanted["std"]) <= 0:
                numbers = f"{channels} numbers each for {self.name}, std above 0"
                raise UserError(f"normalization is {wanted}: give mean and std, {numbers}")
            return Normalization(**wanted)
        known = self.facts.statistics if self.facts else {}
        if wanted in known:
            return Normalization(*map(list, known[wanted]))
        if wanted in ("published", "measured"):
            return None
        choices = ", ".join([*known, "measured"])
        raise UserError(f"{self.name} has no normalization {wanted!r}: choose one of {choices}, or give mean and std")

    def _fit_preprocessing(self) -> Preprocessing:
        normalization = self._statistics or _measured(self.train_images)
        if self.zca is None:
            return normalization
        if isinstance(self.train_images, LazyImages):
            raise UserError(
                f"{self.name} is too large to be whitened: leave {{data.zca}} out or make the images smaller"
            )
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        fit = load_or_fit_zca if self.cache else fit_zca
        return fit(self.train_images, self.zca, normalization, device if device.type == "cuda" else "cpu")

    def _check(self, labels: Tensor) -> None:
        for part in (labels, self.test_labels):
            low, high = part.aminmax() if len(part) else (0, 0)
            if low < 0 or high >= self.num_classes:
                found = f"labels from {int(low)} to {int(high)}, but {self.num_classes} classes"
                raise UserError(f"{self.name} has {found}: check the data")
        empty = (torch.bincount(labels, minlength=self.num_classes) == 0).nonzero().flatten().tolist()
        if empty:
            named = f"class {self.class_names[empty[0]]!r} of {self.name}"
            raise UserError(f"{named} has no training images: add some or remove the class")


def _measured(images: Images) -> Normalization:
    """Return the statistics of images: of all that are in memory, or of a random part of those in files."""
    if not isinstance(images, LazyImages):
        return measure(images)
    size = images.shape[1:].numel()
    rows = torch.randperm(len(images), generator=generator(0, "statistics"))[: MEASURED_BYTES // size]
    return measure(images[rows.sort().values])


def measure(images: Tensor, chunk: int = 4096) -> Normalization:
    """Return each channel's mean and deviation over images `(N, C, H, W)`, uint8 or float, in [0, 1] pixel units.

    No more than `chunk` images are looked at together, and fewer large ones.
    """
    scale = 255 if images.dtype == torch.uint8 else 1
    at_once = max(1, min(chunk, MEASURED_AT_ONCE // max(1, images.shape[1:].numel())))
    count, parts = images.numel() // images.shape[1], images.split(at_once)
    mean = sum(part.double().sum((0, 2, 3)) for part in parts) / count
    squares = sum((part.double() - mean.view(-1, 1, 1)).square().sum((0, 2, 3)) for part in parts)
    std = (squares / count).sqrt() / scale
    # A channel that never changes stays as it is rather than being divided by zero.
    std[std == 0] = 1.0
    return Normalization((mean / scale).tolist(), std.tolist())
