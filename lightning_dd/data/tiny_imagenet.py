"""Tiny ImageNet, from the official folder or from the hub's Parquet files; the official val split is the test part."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from lightning_dd.data import catalogue
from lightning_dd.data.decoding import Decoding
from lightning_dd.data.folder import Listing, class_folders, flatten, list_classes, read_files
from lightning_dd.data.hub import HubSet, find_hub_set
from lightning_dd.data.module import ImageData
from lightning_dd.errors import UserError

OFFICIAL = "tiny-imagenet-200"
HUB_FOLDERS = ("tiny-imagenet", "tiny_imagenet", "TinyImageNet")


class TinyImageNet(ImageData):
    """200 classes of 64x64 colour images, 500 + 50 each; the test part is the official val split, as everywhere.

    Classes are in the order of their WordNet ids. Their names are words where `words.txt` or `classes.json` lies
    beside the data, and ids otherwise; without data (nothing is read then) they are the 200 official ids.

    Args:
        root: holds `tiny-imagenet-200` or a folder of Parquet files, or is one of them.
        **kwargs: of `ImageData`.

    Raises:
        UserError: from `setup`, if there are no files or if some are wrong.
    """

    facts = catalogue.TINY_IMAGENET

    def __init__(self, root: str = "data", **kwargs: Any) -> None:
        super().__init__(root, **kwargs)
        self._official = _find_official(Path(root))
        self._hub_set = None if self._official else find_hub_set(Path(root), *HUB_FOLDERS)
        if self._official:
            self._wnids = tuple(class_folders(self._official / "train"))
        else:
            self._wnids = (self._hub_set and self._hub_set.class_names) or catalogue.TINY_IMAGENET_WNIDS
        self.class_names = _in_words(self._wnids, self._official or (self._hub_set and self._hub_set.root))
        self.num_classes = len(self.class_names)

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Return the images and labels of the "train" part or of the "test" part, which is the official val."""
        how = Decoding(self.image_shape[1:], self.image_shape[0])
        if self._official:
            listing = list_classes(self._official / "train") if split == "train" else _list_val(self._official / "val")
            files, labels = flatten(listing, self._wnids)
            return read_files(files, labels, how, self.cache, "error")
        if self._hub_set:
            return self._read_hub(self._hub_set, split, how)
        raise UserError(
            f"tiny_imagenet was not found in {self.root}, neither as {OFFICIAL}/train nor as "
            f"{HUB_FOLDERS[0]}/*.parquet: check {{data.root}}"
        )

    def _read_hub(self, hub_set: HubSet, split: str, how: Decoding) -> tuple[Tensor, Tensor]:
        if split not in hub_set.splits:
            raise UserError(f"{hub_set.root} has no Parquet files for the {split} part: add them")
        labels = hub_set.indexed_labels(split, self.num_classes)
        return hub_set.images(split, how, self.cache)["images"], labels


def _find_official(root: Path) -> Path | None:
    """Return the folder that holds `train/<wnid>`, which `root` may name itself."""
    for folder in (root / OFFICIAL, root):
        if (folder / "train").is_dir() and (folder / "val").is_dir():
            return folder
    return None


def _list_val(folder: Path) -> Listing:
    """Return the validation files of each class, from the annotations or from class folders.

    Raises:
        UserError: if the folder is flat and its annotations are missing or name files that are not there.
    """
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
    words = _read_words(folder) if folder else {}
    full = [words.get(wnid, wnid) for wnid in wnids]
    short = [text.split(",")[0].strip() for text in full]
    return tuple(one if short.count(one) == 1 else text for one, text in zip(short, full, strict=True))


def _read_words(folder: Path) -> dict[str, str]:
    if (folder / "classes.json").is_file():
        return json.loads((folder / "classes.json").read_text())
    if (folder / "words.txt").is_file():
        lines = (folder / "words.txt").read_text().splitlines()
        return dict(line.split("\t", 1) for line in lines if "\t" in line)
    return {}
