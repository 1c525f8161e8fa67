"""`ImageFolder`: one folder of images a class, any size and mode."""

import os
import re
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lightning_dd.artifact.schema import text
from lightning_dd.data.cache import cached
from lightning_dd.data.decoding import (
    Decoding,
    Header,
    OnUnreadable,
    Source,
    as_size,
    decode_all,
    read_header,
    skipping,
    warn_of_skipped,
)
from lightning_dd.data.lazy import LIMIT, Images, LazyImages, fits
from lightning_dd.data.module import ImageData
from lightning_dd.data.splits import TEST_FRACTION, part_rows
from lightning_dd.errors import UserError
from lightning_dd.runtime.options import Fraction, PositiveFloat

SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".avif", ".tif", ".tiff"}
SUFFIXES |= {".ppm", ".pgm", ".pbm"}
NOT_READ = {".heic", ".heif", ".jxl", ".jp2", ".tga", ".psd", ".svg"}  # and cameras' own:
NOT_READ |= {".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"}
TRAIN_FOLDERS = ("train", "training", "train_set", "training_set")
TEST_FOLDERS = ("test", "testing", "test_set", "testing_set", "val", "valid", "validation")
NO_CLASSES = ("__MACOSX", "__pycache__")
Listing = dict[str, list[Path]]


class ImageFolder(ImageData):
    """Images in `root/train/<class>/*` or `root/<class>/*`, and in `root/test/<class>/*` (or val, valid) to test on.

    Headers (not pixels) are read here where size or channels are not given: all of them for the size; for the
    channels, up to the first color image. Many or large images stay in their files and are decoded whenever they are
    needed (`max_memory`).

    Args:
        root: the folder; its name becomes the set's name.
        image_size: pixels, or (height, width), to resize to; needed where sizes differ.
        crop: resize the shorter side and cut out the center, rather than stretch.
        channels: 1 or 3; where not given, 1 if all images are gray.
        on_unreadable: "error", or "skip" to leave broken images out; those that stay in their files, where not even
            the header can be read.
        test_fraction: of each class, to test on where there is no test folder; at least one image is trained on.
        max_memory: GiB that all decoded images may take; where they would take more, they stay in their files.
        **options: those of `ImageData`.

    Raises:
        UserError: if there are no images, or if they differ in size and `image_size` is not given.
    """

    def __init__(
        self,
        root: str,
        image_size: int | tuple[int, int] | None = None,
        crop: bool = False,
        channels: Literal[1, 3] | None = None,
        on_unreadable: OnUnreadable = "error",
        test_fraction: Fraction = TEST_FRACTION,
        max_memory: PositiveFloat = LIMIT,
        **options: Any,
    ) -> None:
        folder = Path(root).expanduser()
        self._listings = find_listings(folder)
        paths = [path for listing in self._listings.values() for files in listing.values() for path in files]
        found_size, found_channels = survey(paths, folder, as_size(image_size), channels)
        self.decoding = Decoding(found_size, found_channels, image_size is not None, crop)
        self.crop = crop
        self.on_unreadable: OnUnreadable = on_unreadable
        self.test_fraction = test_fraction
        self._in_memory = fits(len(paths), self.decoding, max_memory)
        self.name = name_of(folder)
        self.class_names = tuple(self._listings["train"])
        self.num_classes = len(self.class_names)
        self.image_shape = (found_channels, *found_size)
        super().__init__(root, **options)

    def load(self, split: str) -> tuple[Images, Tensor]:
        """Return the images and labels of the "train" or the "test" part."""
        own_folder = "test" in self._listings
        listing = self._listings[split if own_folder else "train"]
        files, labels = flatten(listing, self.class_names)
        if not own_folder:
            chosen = part_rows(labels, split, self.test_fraction)
            files, labels = [files[i] for i in chosen], labels[chosen]
        how = self.decoding, self.cache, self.on_unreadable, self._in_memory
        images, labels, originals = read_files(files, labels, *how)
        self.originals.append(originals)
        return images, labels


def flatten(listing: Listing, class_names: tuple[str, ...]) -> tuple[list[Path], Tensor]:
    """Return all files of a listing, class after class, and their labels `(N,)`."""
    pairs = [(file, label) for label, name in enumerate(class_names) for file in listing.get(name, [])]
    return [file for file, _ in pairs], torch.tensor([label for _, label in pairs], dtype=torch.long)


def read_files(
    files: list[Path],
    labels: Tensor,
    how: Decoding,
    cache: bool,
    on_unreadable: OnUnreadable | None,
    in_memory: bool,
) -> tuple[Images, Tensor, Tensor]:
    """Return images `(n, C, H, W)` and labels `(n,)` of the files that could be read, and "originals" `(n, 3)`.

    See `decode_all`. Images that are not to be held in memory are lazy, and nothing is known of their originals.
    """
    if not in_memory:
        return *_lazy(files, labels, how, on_unreadable), torch.empty(0, 3, dtype=torch.int32)
    sources = [Source(str(file), file) for file in files]
    build = partial(decode_all, sources, len(files), how, on_unreadable)
    decoded = cached(files, {"how": vars(how)} | skipping(on_unreadable), build, cache)
    warn_of_skipped([source.name for source in sources], decoded["kept"])
    return decoded["images"], labels[decoded["kept"]], decoded["originals"]


def _lazy(
    files: list[Path], labels: Tensor, how: Decoding, on_unreadable: OnUnreadable | None
) -> tuple[LazyImages, Tensor]:
    if on_unreadable != "skip":  # broken ones are an error when they are decoded
        return LazyImages(files, how), labels
    known = {path for path, _ in _headers(files)}
    kept = torch.tensor([row for row, file in enumerate(files) if file in known], dtype=torch.long)
    warn_of_skipped([str(file) for file in files], kept)
    return LazyImages(files, how).take(kept), labels[kept]


def name_of(folder: Path) -> str:
    """Return a data set's name from that of its folder."""
    return re.sub(r"\W+", "_", folder.resolve().name.lower())


def find_listings(root: Path) -> dict[str, Listing]:
    """Return the files of each class for "train" and, where there is a folder for it, for "test".

    Raises:
        UserError: if there is no such folder, no image in it, or a class to test on that is not trained on.
    """
    if not root.is_dir():
        raise UserError(f"there is no folder {root}: check {{data.root}}")
    train, test = (_split(root, names) for names in (TRAIN_FOLDERS, TEST_FOLDERS))
    if train is None:
        listings = _test_beside_classes(root, list_classes(root))
        _check_level(root, list(listings["train"]))
    else:
        listings = {"train": train} if test is None else {"train": train, "test": test}
        _warn_of_others(root)
    if not any(listings["train"].values()):
        raise UserError(f"{root} has no images in class folders: make it <class>/*.png or train/<class>/*.png")
    if unknown := set(listings.get("test", ())) - set(listings["train"]):
        raise UserError(f"class {min(unknown)!r} in {root} is in the test folder only: add it to train or remove it")
    return listings


def _test_beside_classes(root: Path, listing: Listing) -> dict[str, Listing]:
    """Return class folders, and as "test" what lies beside them in a folder `test` or `val` with only such classes."""
    below = {name: set(class_folders(root / name)) for name in listing if name.lower() in TEST_FOLDERS}
    parts = {name.lower(): name for name, found in below.items() if found and found <= listing.keys() - below.keys()}
    classes = {name: files for name, files in listing.items() if name not in parts.values()}
    first = next((parts[name] for name in TEST_FOLDERS if name in parts), None)
    return {"train": classes} | ({} if first is None else {"test": list_classes(root / first)})


def _warn_of_others(root: Path) -> None:
    """Warn of folders with images beside the training part that are no part."""
    names = [name for name in class_folders(root) if name.lower() not in TRAIN_FOLDERS + TEST_FOLDERS]
    others = [name for name in names if any(path.suffix.lower() in SUFFIXES for path in (root / name).rglob("*"))]
    if others:
        rank_zero_warn(f"Images beside the train folder of {root} are left out: those in {', '.join(others)}.")


def _check_level(root: Path, classes: list[str]) -> None:
    """Refuse folders that hold the same folders and no images, or one such folder: these would be taken for classes.

    Of others that hold folders alone it warns: photographs may be sorted further within a class.

    Raises:
        UserError: they do.
    """
    if any(path.suffix.lower() in SUFFIXES for name in classes for path in (root / name).iterdir()):
        return
    below = [class_folders(root / name) for name in classes]
    first = ", ".join(classes[:3])
    if classes and len(below[0]) >= 2 and all(found == below[0] for found in below):
        raise UserError(
            f"the folders in {root} ({first}) hold no images, but folders of the same names "
            f"({', '.join(below[0][:3])}): name the folder whose folders are the classes, "
            "or call the parts train and test"
        )
    if any(below):
        rank_zero_warn(f"The classes of {root} ({first}) hold no images themselves, but folders of them.")


def _split(root: Path, names: tuple[str, ...]) -> Listing | None:
    """Return the classes in the first folder with one of some names, in any case; None where there is none.

    A class may be called "train": only a folder of class folders is a split.
    """
    found = {folder.lower(): list_classes(root / folder) for folder in class_folders(root) if folder.lower() in names}
    return next((found[name] for name in names if any(found.get(name, {}).values())), None)


def list_classes(folder: Path) -> Listing:
    """Return the image files of each class folder, sorted; nothing where the folder does not exist.

    It warns of images in formats that are not read.
    """
    listing, others = {}, Counter()
    for name in class_folders(folder):
        walked = (Path(place, file) for place, files in _walk(folder / name) for file in files)
        found = [file for file in walked if not file.name.startswith(".")]
        listing[name] = sorted(file for file in found if file.suffix.lower() in SUFFIXES)
        others.update(suffix for file in found if (suffix := file.suffix.lower()) in NOT_READ)
    if others:
        counts = ", ".join(f"{number:,} {suffix}" for suffix, number in sorted(others.items()))
        rank_zero_warn(f"Images in {folder} that cannot be read and are left out: {counts}; convert them to PNG.")
    return listing


def _walk(folder: Path) -> Iterable[tuple[str, list[str]]]:
    """Give each folder and its files, links followed, but for folders that programs hide their copies in.

    Raises:
        UserError: a link leads back to a folder above it.
    """
    for place, below, files in os.walk(folder, followlinks=True):
        below[:] = [name for name in below if not name.startswith(".") and name not in NO_CLASSES]
        for name in below:
            linked = Path(place, name)
            if linked.is_symlink() and Path(place).resolve().is_relative_to(linked.resolve()):
                raise UserError(f"the link {linked} leads back to a folder that holds it: remove it")
        yield place, files


def class_folders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted; none where it does not exist."""
    if not folder.is_dir():
        return []
    found = (path.name for path in folder.iterdir() if path.is_dir())
    names = sorted(name for name in found if not name.startswith(".") and name not in NO_CLASSES)
    for name in names:
        if not text(name):
            raise UserError(f"the name of the folder {name!r} in {folder} is not readable text: rename it")
    return names


def survey(
    paths: list[Path], root: Path, size: tuple[int, int] | None, channels: int | None
) -> tuple[tuple[int, int], int]:
    """Return size (H, W) and channels of images, reading as few headers as will do."""
    if size and channels:
        return size, channels
    found, gray, readable = size, True, False
    for path, header in _headers(paths):
        readable = True
        found = found or header.size
        if size is None and header.size != found:
            first, other = (f"{h}x{w}" for h, w in (found, header.size))
            differ = f"images in {root} differ in size ({first}, and {other} in {path})"
            raise UserError(f"{differ}: set {{data.image_size}}")
        gray = gray and header.gray
        if size and not gray:
            break
    if not readable:
        raise UserError(f"none of the {len(paths)} images in {root} can be read: check the files")
    return found, channels or (1 if gray else 3)


def _headers(paths: list[Path]) -> Iterable[tuple[Path, Header]]:
    with ThreadPoolExecutor(4) as pool:
        for start in range(0, len(paths), 256):
            window = paths[start : start + 256]
            headers = zip(window, pool.map(read_header, window), strict=True)
            yield from ((path, header) for path, header in headers if header)
