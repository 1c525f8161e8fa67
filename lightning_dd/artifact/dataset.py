"""The product of a run: distilled images in one file that torch and safetensors can read."""

import json
import os
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.utils.data import Dataset

from lightning_dd.artifact.checks import DESCRIPTION, check_counts, check_set, restore_codec
from lightning_dd.artifact.codecs import Codec, Pixels
from lightning_dd.artifact.exports import Exports
from lightning_dd.artifact.files import newest_run, save_tensors
from lightning_dd.artifact.labels import TEACHER, Labels
from lightning_dd.artifact.picture import html
from lightning_dd.artifact.preprocessing import Preprocessing, restore_preprocessing, save_preprocessing
from lightning_dd.artifact.schema import check_form, parse_json
from lightning_dd.artifact.shipped import shipped_sets
from lightning_dd.artifact.subsets import Subsets
from lightning_dd.artifact.training import Training
from lightning_dd.errors import UserError

FORMAT = "lightning_dd.distilled"
FORMAT_VERSION = 2
FILE = "distilled.safetensors"
CODEC = "codec."  # before the names of a codec's tensors
SMALLEST_FLOAT, LARGEST_FLOAT = -0.5, 2.0  # of pixels in [0, 1], which interpolation may leave a little
OF_BYTES = 25.0  # normalized pixels reach no such values


@dataclass(repr=False, eq=False)
class DistilledDataset(Training, Exports, Subsets, Dataset):
    """Synthetic images and labels with everything needed to train on them.

    Indexing gives a preprocessed image and its class index, whatever the labels are, so that any training loop with
    cross-entropy is right. Learned labels come on request, with a loss of their own: see `pairs`.

    Attributes:
        images: `(N, C, H, W)` float32 in [0, 1] pixel units, unclipped, class-major; None lets the codec decode them.
        labels: `(N,)` int64 class indices, or `(N, num_classes)` float32 for the soft kinds.
        class_names: in the order of the class indices.
        preprocessing: from pixel units to the space in which networks are trained; test images need it too.
        label_kind: `"index"`, `"probabilities"`, `"logits"` or `"targets"` (of a regression).
        recipe: of training networks on it: `protocol`, `network`, `augmentation`, learned `step_size`.
        tensors: of the method besides (step sizes, order of batches, initial weights).
        info: method, paper, data set, config, seed, versions, accuracy.
        codec: stores the images, on the CPU; None stores themselves.
        learned_labels: whether the labels count as stored numbers; None where they are soft.
        folder: where it was read from, the folder of its run; None for a set that was not.

    Raises:
        UserError: the parts do not go together.

    Example:
        >>> import lightning_dd as dd
        >>> distilled = dd.load("runs/dm_digits_ipc1")  # doctest: +SKIP
        >>> network = distilled.train()  # doctest: +SKIP
        >>> distilled.evaluate("my/test/folder", network)  # doctest: +SKIP
    """

    images: Tensor | None
    labels: Tensor
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    label_kind: str = "index"
    recipe: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    codec: Codec | None = None
    learned_labels: bool | None = None
    folder: Path | None = None

    def __post_init__(self) -> None:
        self.class_names = tuple(self.class_names)
        self._prepared: Tensor | None = None
        if self.images is None:
            with torch.no_grad():
                self.images = self.preprocessing.inverse(self.codec.decode())
        if isinstance(self.codec, Pixels):
            self.codec = None
        self.images, self.labels = self.images.cpu(), self.labels.cpu()
        self.tensors = {name: tensor.cpu() for name, tensor in self.tensors.items()}
        check_set(self)

    def __repr__(self) -> str:
        made = " ".join(str(self.info[key]) for key in ("method", "dataset") if key in self.info)
        shape = "x".join(map(str, self.image_shape))
        labels = "" if self.label_kind == "index" else f", {self.label_hint}"
        size = f"{len(self)} images {shape}, {self.num_classes} classes"
        return f"DistilledDataset({made + ': ' if made else ''}{size}{labels})"

    def _repr_html_(self) -> str:
        """Return the picture and the facts, as a notebook shows them."""
        return html(self)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return a preprocessed image `(C, H, W)` and its class index."""
        label = self.labels[index]
        return self.prepared[index], int(label if self.label_kind == "index" else label.argmax())

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(C, H, W)` of each image."""
        return tuple(self.images.shape[1:])

    @property
    def ipc(self) -> int:
        """Stored images per class: the budget."""
        return self.images_per_class if self.codec is None else self.codec.ipc

    @property
    def images_per_class(self) -> int:
        """Images per class that networks are trained on; the largest number where they differ, see `counts`."""
        if self.label_kind == "index":
            return max(self._present, default=0)
        return -(-len(self) // len(self.info.get("selected", self.class_names)))

    @property
    def stored(self) -> dict[str, int]:
        """Counts of stored numbers: of `images`, of learned `labels`, and `beside` them of what a codec fitted."""
        learned = self.label_kind != "index" if self.learned_labels is None else self.learned_labels
        images = self.images.numel() if self.codec is None else self.codec.budget()
        every = sum(tensor.numel() for tensor in self._stored_images().values())
        return {"images": images, "labels": self.labels.numel() if learned else 0, "beside": every - images}

    @property
    def prepared(self) -> Tensor:
        """All images `(N, C, H, W)` in the space in which networks are trained."""
        if self._prepared is None:
            self._prepared = self.preprocessing(self.images)
        return self._prepared

    @property
    def hard_labels(self) -> Tensor:
        """`(N,)` class indices; the arg-max of soft labels."""
        return Labels(self.labels, self.label_kind).classes

    def preprocess(self, images: Tensor) -> Tensor:
        """Normalize or whiten images `(..., C, H, W)`, uint8 or float in [0, 1], for a network trained on this set.

        Raises:
            UserError: the images have another shape or type, or are floats from 0 to 255, or normalized.
        """
        shape = tuple(images.shape)
        if shape[-3:] != self.image_shape:
            raise UserError(f"Images of shape {shape} do not end in {self.image_shape}; resize them first.")
        if not images.is_floating_point() and images.dtype != torch.uint8:
            raise UserError(f"Images are uint8, or floats in [0, 1], not {images.dtype}.")
        if images.is_floating_point() and images.numel():
            low, high = (float(end) for end in images.aminmax())
            if low < SMALLEST_FLOAT or high > LARGEST_FLOAT:
                cure = "divide them by 255" if high > OF_BYTES else "give them without normalization"
                raise UserError(f"Images as floats are in [0, 1], and these go from {low:g} to {high:g}: {cure}.")
        return self.preprocessing(images)

    def save(self, path: str | os.PathLike, half: bool = False) -> None:
        """Write the set to one safetensors file; a whitening matrix goes to a hashed file beside it.

        Args:
            path: of the file.
            half: store the images, and a teacher's weights, in half precision (10 bits), in half the space.

        Raises:
            UserError: the file cannot be written.
        """
        absent = self.label_kind == "index" and len(self._present) < len(self.info.get("selected", self.class_names))
        description = {
            **{name: getattr(self, name) for name in ("class_names", "label_kind", "learned_labels")},
            "preprocessing": save_preprocessing(self.preprocessing, Path(path).parent),
            "recipe": self.recipe,
            "info": self.info,
            "codec": None if self.codec is None else self.codec.describe(),
            "stored": self.stored,
            "images_per_class": self.images_per_class if self.balanced and not absent else self._present,
        }
        metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION), "description": json.dumps(description)}
        images, others = self._stored_images(), dict(self.tensors)
        if half:
            images, others = _halved(images), {**others, **_halved(self.teacher)}
        save_tensors(path, {**images, "labels": self.labels, **others}, metadata)

    @property
    def teacher(self) -> dict[str, Tensor]:
        """Those of its tensors that are the weights of a teacher; none where it brings none."""
        return {name: tensor for name, tensor in self.tensors.items() if name.startswith(TEACHER)}

    def _stored_images(self) -> dict[str, Tensor]:
        if self.codec is None:
            return {"images": self.images}
        return {CODEC + name: tensor for name, tensor in self.codec.state_dict().items()}


def _halved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def load(
    path: str | os.PathLike,
    *,
    token: str | None = None,
    cache_dir: str | os.PathLike | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
) -> DistilledDataset:
    """Read a distilled set: a file, that of the run in a folder, or that of the newest of several runs in a folder.

    Args:
        path: the file or folder; the name of a set that comes with the program, as `list sets` gives it
            (`dm/cifar10_ipc1`); or `hf:organization/name`, with `@revision` (a branch, tag or commit) behind it, on
            the Hugging Face hub, for which `pip install lightning-dd[hub]` is needed.
        token: for private sets on the hub; None takes the one of `hf auth login` or `HF_TOKEN`.
        cache_dir: where sets from the hub are kept; None is the folder of all its downloads.
        local_files_only: take only what is kept.
        force_download: do not take what is kept.

    Raises:
        UserError: the file is missing, damaged, of another format or of a newer version; or the hub has no such set,
            does not give it, or cannot be reached.
    """
    if not isinstance(path, str | os.PathLike):
        raise UserError(f"path is a file, a folder or the name of a set, not {path!r}.")
    if str(path).startswith("hf:"):
        from lightning_dd.artifact.hub import download

        path = download(str(path), token, cache_dir, local_files_only, force_download)
    given = Path(path).expanduser()
    path = given if given.exists() else shipped_sets().get(str(path), given)
    if path.is_dir():
        path = newest_run(path, FILE)
    if path is None or not path.is_file():
        near = get_close_matches(str(given), shipped_sets(), n=1, cutoff=0.8)
        instead = f"give the folder of a run that has ended, its {FILE}, or the name of a set"
        instead += f": did you mean {near[0]}" if near else ", as `list sets` has it"
        where = f"The folder {given} holds no distilled set" if path is None else f"There is nothing at {given}"
        raise UserError(f"{where}; {instead}.")
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return _restore(tensors, file.metadata() or {}, path.parent)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read as a distilled data set ({error}).") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        raise UserError(f"{path} lacks a part of its description; it is damaged, copy or make it again.") from None


def _restore(tensors: dict[str, Tensor], metadata: dict[str, str], folder: Path) -> DistilledDataset:
    """Return the set in a file of either version; version 1 has neither codecs nor counts."""
    if metadata.get("format") != FORMAT:
        raise UserError("This is a safetensors file but not a distilled data set of this program.")
    version = metadata["format_version"]
    if version not in map(str, range(1, FORMAT_VERSION + 1)):
        raise UserError(f"Format version {version} is not known: a newer release may read it.")
    description = parse_json(metadata["description"], "The description of the set")
    check_form(description, DESCRIPTION, "The description of the set")
    description["preprocessing"] = restore_preprocessing(description["preprocessing"], folder)
    description.pop("stored", None)
    counts = description.pop("images_per_class", None)
    if codec := description.get("codec"):
        state = {name.removeprefix(CODEC): tensors.pop(name) for name in list(tensors) if name.startswith(CODEC)}
        description["codec"] = restore_codec(codec, state)
    images = None if codec else tensors.pop("images")
    if images is not None and images.is_floating_point():
        images = images.float()
    labels = tensors.pop("labels")
    labels = labels.float() if labels.is_floating_point() else labels
    distilled = DistilledDataset(images=images, labels=labels, tensors=tensors, folder=folder, **description)
    check_counts(distilled, counts)
    return distilled
