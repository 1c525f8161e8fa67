"""Images and labels from what people have: a folder, a torch data set, a Hugging Face data set, dicts, or tensors."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from lightning_dd.data.decoding import GRAY_MODES, Decoding, OnUnreadable, as_size, to_pixels
from lightning_dd.data.folder import find_listings, flatten, read_files, survey
from lightning_dd.data.hub import LABEL_NAMES
from lightning_dd.data.lazy import LIMIT, Images, fits
from lightning_dd.data.splits import part_rows
from lightning_dd.errors import UserError

IMAGE_NAMES = ("image", "img", "images")
"""Names of the column of images; the first that is there is taken, as of `LABEL_NAMES`."""


class Examples(NamedTuple):
    """Images `(N, C, H, W)`, uint8, float32 in [0, 1] or lazy; labels `(N,)`; class names in label order, if known."""

    images: Images
    labels: Tensor
    class_names: tuple[str, ...] | None = None


def is_folder(source: Any) -> bool:
    """Return whether a source is the path of a folder."""
    return isinstance(source, str | os.PathLike)


def read_source(
    source: Any,
    part: str,
    image_size: int | tuple[int, int] | None = None,
    crop: bool = False,
    class_names: Sequence[str] | None = None,
    on_unreadable: OnUnreadable | None = None,
    test_fraction: float | None = None,
) -> Examples:
    """Read a source whole.

    Args:
        source: a folder with a subfolder for each class, or with `train` and `test` of such; a tuple `(images,
            labels)` of tensors or arrays, `(N, C, H, W)` or `(N, H, W)`, arrays also `(N, H, W, C)`, and `(N,)`; or a
            map-style data set, or a
            list, of pairs `(image, label)` or of dicts such as `{"image": ..., "label": ...}`. Images are Pillow
            images, uint8 or float tensors `(C, H, W)` or `(H, W)`, or arrays `(H, W, C)` or `(H, W)`; floats are in
            [0, 1], not normalized. Labels are class indices, or names.
        part: `train` or `test`: its name in messages, and which folder is read where there are both.
        image_size: pixels, or (height, width), to resize to; needed where sizes differ.
        crop: resize the shorter side and cut out the center, rather than stretch.
        class_names: in label order; without it, the source's own, where it has them.
        on_unreadable: of a folder: "skip" leaves broken images out; "error" says that this can be chosen.
        test_fraction: of each class of a folder without `test`, what the part `test` is of; None for all.

    Raises:
        UserError: an image or a label is none of these, or images differ in shape or kind.
    """
    size = as_size(image_size)
    if is_folder(source):
        # its folders name its classes
        return _read_folder(Path(source).expanduser(), part, size, crop, on_unreadable, test_fraction)
    if isinstance(source, Mapping):
        raise UserError(f"the {part} data set has parts ({', '.join(map(str, source))}): give one of them")
    names = own_names(source) if class_names is None else class_names
    source = _with_array_of_labels(source)
    if _is_pair_of_arrays(source):
        images, labels = _checked_arrays(*source, part)
        if isinstance(images, np.ndarray) and images.ndim == 4 and images.shape[1] in (1, 3):
            images = torch.from_numpy(np.ascontiguousarray(images))  # channels first, as of tensors
        source = list(zip(images, labels, strict=True))
    if not (hasattr(source, "__len__") and hasattr(source, "__getitem__")) or not len(source):
        raise UserError(f"the {part} data set is empty or cannot be indexed: give a Dataset of (image, label)")
    images, labels = [], []
    for index in range(len(source)):
        where = f"item {index} of the {part} data set"
        image, label = _pair(source, index, where)
        images.append(_resized(_as_tensor(image, where, size, crop), size, crop))
        labels.append(label)
    indices, names = _as_indices(labels, names, part)
    return Examples(_compact(_stacked(images, part), part), indices, names)


def _read_folder(
    root: Path,
    part: str,
    size: tuple[int, int] | None,
    crop: bool,
    on_unreadable: OnUnreadable | None,
    test_fraction: float | None,
) -> Examples:
    listings = find_listings(root)
    names, listing = tuple(listings["train"]), listings.get(part, listings["train"])
    files, labels = flatten(listing, names)
    if part not in listings and test_fraction is not None:
        rows = part_rows(labels, part, test_fraction)
        files, labels = [files[row] for row in rows], labels[rows]
        kept_out = f"the {test_fraction:g} of each class that was kept out"
        rank_zero_warn(f"{root}, which the images were distilled from, has no test folder: testing on {kept_out}.")
    found, channels = survey(files, root, size, None)
    how = Decoding(found, channels, size is not None, crop)
    count = sum(len(found) for listing in listings.values() for found in listing.values())
    images, labels, _ = read_files(files, labels, how, True, on_unreadable, fits(count, how, LIMIT))
    return Examples(images, labels, names)


def by_names(labels: Tensor, names: Sequence[str] | None, known: Sequence[str] | None, whose: str) -> Tensor:
    """Return labels by other class names than their own, where both are known.

    Args:
        labels: indices `(N,)` into `names`.
        names: of the classes of these images.
        known: the names that count.
        whose: in a message, what has these.

    Raises:
        UserError: a class of the images has none of them.
    """
    if names is None or known is None or tuple(names) == tuple(known):
        return labels
    spell = str if set(names) <= set(known) else normalized_name
    theirs, ours = [[spell(name) for name in each] for each in (names, known)]
    if unknown := [name for name, spelled in zip(names, theirs, strict=True) if ours.count(spelled) != 1]:
        raise UserError(f"The test images have a class {unknown[0]!r}, which {whose} does not know.")
    return torch.tensor([ours.index(name) for name in theirs])[labels]


def normalized_name(name: str) -> str:
    """Return a class name as it is the same for all libraries: letters and digits alone, and torchvision's digits.

    Example:
        >>> normalized_name("7 - seven"), normalized_name("T - shirt / top")
        ('7', 'tshirttop')
    """
    digit = re.fullmatch(r"(\d) - [a-z]+", str(name))
    return digit[1] if digit else re.sub(r"[\W_]+", "", str(name)).casefold()


def own_names(source: Any) -> Sequence[str] | None:
    """Return the class names that a torch or a Hugging Face data set brings; None for any other, a folder too."""
    features = getattr(source, "features", None)
    if isinstance(features, Mapping):
        label = _column(features, LABEL_NAMES)
        return getattr(features.get(label), "names", None)
    names = getattr(source, "classes", None)
    return None if isinstance(names, str) or not isinstance(names, Sequence) else names


def _with_array_of_labels(source: Any) -> Any:
    """Return images with an array in the place of their list or column of labels; anything else as it is."""
    if not (isinstance(source, tuple) and len(source) == 2 and getattr(source[0], "ndim", 0) > 2):
        return source
    images, labels = source
    if not (isinstance(labels, list | tuple) or hasattr(labels, "to_numpy")):  # a column of pandas
        return source
    # such as NumPy's numbers and tensors without dimensions
    plain = [label.item() if getattr(label, "ndim", 1) == 0 else label for label in labels]
    return (images, np.array(plain)) if all(isinstance(label, int | str) for label in plain) else source


def _is_pair_of_arrays(source: Any) -> bool:
    arrays = isinstance(source, tuple | list) and len(source) == 2
    return arrays and all(isinstance(each, Tensor | np.ndarray) and each.ndim for each in source) and source[0].ndim > 2


def _checked_arrays(images: Any, labels: Any, part: str) -> tuple[Any, Any]:
    if images.ndim not in (3, 4) or labels.ndim != 1 or len(images) != len(labels):
        shapes = f"{tuple(images.shape)} and {tuple(labels.shape)}"
        raise UserError(f"the {part} images and labels have shapes {shapes}: give (N, C, H, W) and (N,)")
    return images, labels


def _pair(source: Any, index: int, where: str) -> tuple[Any, Any]:
    item = source[index]
    if isinstance(item, Mapping):
        image, label = _column(item, IMAGE_NAMES), _column(item, LABEL_NAMES)
        if image is None or label is None:
            columns = ", ".join(map(str, item))
            raise UserError(f"{where} has the columns {columns}: rename two of them to image and label")
        return item[image], item[label]
    try:
        image, label = item
    except (TypeError, ValueError):
        raise UserError(f"{where} is not an (image, label) pair: give a Dataset of pairs, or of dicts") from None
    return image, label


def _column(columns: Mapping, known: tuple[str, ...]) -> str | None:
    return next((name for name in known if name in columns), None)


def _as_tensor(image: Any, where: str, size: tuple[int, int] | None = None, crop: bool = False) -> Tensor:
    if isinstance(image, Image.Image):
        channels = 1 if image.mode in GRAY_MODES else 3
        if image.mode == "F":
            raise UserError(f"the image of {where} has floating-point pixels of no known range: give 8-bit images")
        try:
            image = ImageOps.exif_transpose(image)
        except OSError as error:
            raise UserError(f"the image of {where} cannot be read ({error})") from None
        how = Decoding(size or image.size[::-1], channels, size is not None, crop)
        return torch.from_numpy(to_pixels(image, how, where).copy())
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1) if image.ndim == 3 else image))
    if not isinstance(image, Tensor):
        raise UserError(f"the image of {where} is a {type(image).__name__}: give a Pillow image, a tensor or an array")
    image = image[None] if image.dim() == 2 else image
    if image.dim() != 3 or image.shape[0] not in (1, 3):
        wanted = "1 or 3 channels, tensors as (C, H, W) and arrays as (H, W, C)"
        raise UserError(f"the image of {where} has shape {tuple(image.shape)}: give {wanted}")
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise UserError(f"the image of {where} is {image.dtype}: give uint8, or floats in [0, 1]")
    return image.detach().to("cpu", torch.uint8 if image.dtype == torch.uint8 else torch.float32)


def _resized(image: Tensor, size: tuple[int, int] | None, crop: bool) -> Tensor:
    """Return an image `(C, H, W)` in a size, None being its own."""
    height, width = image.shape[1:]
    if size is None or (height, width) == size:
        return image
    if crop:
        share = min(height / size[0], width / size[1])
        image = transforms.center_crop(image, [round(size[0] * share), round(size[1] * share)])
    # rounding would leave the range of floats
    return transforms.resize(image, list(size), antialias=True).clamp(*image.aminmax())


def _stacked(images: list[Tensor], part: str) -> Tensor:
    """Return images `(N, C, H, W)`; gray ones among those in color become those too."""
    channels = max(len(image) for image in images)
    images = [image.expand(channels, -1, -1) for image in images]
    for index, image in enumerate(images):
        if image.shape != images[0].shape:
            this, first = (f"{height}x{width}" for height, width in (image.shape[1:], images[0].shape[1:]))
            where = f"item {index} of the {part} data set is {this} pixels while the first is {first}"
            raise UserError(f"{where}: set {{data.image_size}} to resize all")
        if image.dtype != images[0].dtype:
            this, first = image.dtype, images[0].dtype
            raise UserError(f"item {index} of the {part} data set is {this} while the first is {first}: make all alike")
    return torch.stack(images)


def _as_indices(labels: list[Any], names: Sequence[str] | None, part: str) -> tuple[Tensor, tuple[str, ...] | None]:
    """Return class indices `(N,)` and the names, where known; names as labels are sorted, unless they are given."""
    names = None if names is None else tuple(map(str, names))
    if all(isinstance(label, str) for label in labels):
        names = names or tuple(sorted(set(labels)))
        if unknown := set(labels) - set(names):
            raise UserError(f"the {part} data set has the label {min(unknown)!r}: it is none of {', '.join(names)}")
        labels = [names.index(label) for label in labels]
    numbers = [_as_label(label, f"item {index} of the {part} data set") for index, label in enumerate(labels)]
    return torch.tensor(numbers, dtype=torch.long), names


def _as_label(label: Any, where: str) -> int:
    try:
        number = int(label)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise UserError(f"the label of {where} is {label!r}: give class indices from 0 on, or names") from None
    if number < 0 or number != label:
        raise UserError(f"the label of {where} is {label}: give class indices from 0 on, or names")
    return number


def _compact(images: Tensor, part: str) -> Tensor:
    """Check floats, and store them as uint8 where dividing by 255 gives them back exactly."""
    if images.dtype == torch.uint8:
        return images
    if not torch.isfinite(images).all():
        raise UserError(f"the {part} data set has images with NaN or infinite pixels: remove or repair them")
    if images.min() < 0 or images.max() > 1:
        found = f"floats from {images.min():.3g} to {images.max():.3g}"
        raise UserError(f"the {part} data set has {found}: give them in [0, 1], without normalization")
    levels = images.mul(255).round().to(torch.uint8)
    return levels if torch.equal(levels.float().div_(255), images) else images
