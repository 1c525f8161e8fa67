"""Tiny ImageNet, from the official folder or from the hub's Parquet files; the official val split is the test part."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from lightning_dd.data import catalog
from lightning_dd.data.decoding import Decoding
from lightning_dd.data.folder import Listing, class_folders, flatten, list_classes, read_files
from lightning_dd.data.hub import find_hub_set
from lightning_dd.data.module import ImageData
from lightning_dd.errors import UserError

OFFICIAL = "tiny-imagenet-200"
HUB_FOLDERS = ("tiny-imagenet", "tiny_imagenet", "TinyImageNet")


class TinyImageNet(ImageData):
    """200 classes of 64x64 color images, 500 + 50 each.

    Classes are in the order of their WordNet ids. Their names are words where `words.txt` or `classes.json` lies
    beside the data, and ids otherwise; without data (nothing is read then) they are the 200 official ids.

    Args:
        root: holds `tiny-imagenet-200` or a folder of Parquet files, or is one of them.
        **options: those of `ImageData`.

    Raises:
        UserError: from `setup`, if there are no files or if some are wrong.
    """

    facts = catalog.TINY_IMAGENET

    def __init__(self, root: str = "data", **options: Any) -> None:
        super().__init__(root, **options)
        folder = Path(self.root)
        places = (folder / OFFICIAL, folder)
        self._official = next((f for f in places if (f / "train").is_dir() and (f / "val").is_dir()), None)
        self._hub_set = None if self._official else find_hub_set(folder, *HUB_FOLDERS)
        if self._official:
            self._wnids = tuple(class_folders(self._official / "train"))
        else:
            self._wnids = (self._hub_set and self._hub_set.class_names) or catalog.TINY_IMAGENET_WNIDS
        self.class_names = _in_words(self._wnids, self._official or (self._hub_set and self._hub_set.root))
        self.num_classes = len(self.class_names)

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Return the images and labels of the "train" part or of the "test" part, which is the official val."""
        if self._official:
            listing = list_classes(self._official / "train") if split == "train" else _list_val(self._official / "val")
            files, labels = flatten(listing, self._wnids)
            how = Decoding(self.image_shape[1:], self.image_shape[0])
            return read_files(files, labels, how, self.cache, "error", in_memory=True)[:2]
        if self._hub_set:
            return self._hub_set.known_part(split, self.image_shape, self.num_classes, self.cache)
        raise UserError(
            f"tiny_imagenet was not found in {self.root}, neither as {OFFICIAL}/train nor as "
            f"{HUB_FOLDERS[0]}/*.parquet: check {{data.root}}"
        )


def _list_val(folder: Path) -> Listing:
    """Return the validation files of each class, from class folders or from the annotations."""
    for rearranged in (folder / "images", folder):
        listing = {name: files for name, files in list_classes(rearranged).items() if name != "images"}
        if any(listing.values()):
            return listing
    annotations = folder / "val_annotations.txt"
    if not annotations.is_file():
        raise UserError(f"{folder} has neither class folders nor val_annotations.txt: unpack Tiny ImageNet again")
    listing: Listing = {}
    for line in annotations.read_text().splitlines():
        name, wnid, *_ = line.split("\t")
        listing.setdefault(wnid, []).append(folder / "images" / name)
    missing = [file for files in listing.values() for file in files if not file.is_file()]
    if missing:
        raise UserError(f"{missing[0]} is in val_annotations.txt but not on disk: unpack Tiny ImageNet again")
    return listing


def _in_words(wnids: tuple[str, ...], folder: Path | None) -> tuple[str, ...]:
    """Return the first word for each id, all its words where that is not unique, the id where there is none."""
    words = {}
    if folder and (folder / "classes.json").is_file():
        words = json.loads((folder / "classes.json").read_text())
    elif folder and (folder / "words.txt").is_file():
        lines = (folder / "words.txt").read_text().splitlines()
        words = dict(line.split("\t", 1) for line in lines if "\t" in line)
    full = [words.get(wnid, wnid) for wnid in wnids]
    short = [text.split(",")[0].strip() for text in full]
    return tuple(one if short.count(one) == 1 else text for one, text in zip(short, full, strict=True))
