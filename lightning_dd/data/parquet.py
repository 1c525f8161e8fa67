"""Any data set in the hub's Parquet layout."""

import re
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from lightning_dd.data.decoding import UNREADABLE, Decoding, Header, OnUnreadable, as_size, read_header
from lightning_dd.data.hub import HubSet, open_hub_set
from lightning_dd.data.module import ImageData
from lightning_dd.data.splits import stratified_split
from lightning_dd.errors import UserError
from lightning_dd.rng import generator
from lightning_dd.runtime.options import Fraction

LOOKED_AT = 64  # images whose headers tell size and channels


class Parquet(ImageData):
    """Images and labels in Parquet files, as on the Hugging Face hub.

    Files are told apart by their names: `train-*` and `test-*` (or `valid-*`), in the folder or one below it.

    Args:
        root: the folder, or a single file.
        image_column: encoded images; found by its type where not given.
        label_column: integers or strings; found by its name or the metadata where not given.
        image_size: pixels, or (height, width), to resize to; needed where sizes differ.
        crop: resize the shorter side and cut out the centre, rather than stretch.
        channels: 1 or 3; where not given, 1 if the first images are gray.
        on_unreadable: "error", or "skip" to leave broken images out.
        test_fraction: of each class, to test on where there are no test files.
        **kwargs: of `ImageData`.

    Raises:
        UserError: if there are no files, no such columns, or no images.
    """

    def __init__(
        self,
        root: str,
        image_column: str | None = None,
        label_column: str | None = None,
        image_size: int | tuple[int, int] | None = None,
        crop: bool = False,
        channels: Literal[1, 3] | None = None,
        on_unreadable: OnUnreadable = "error",
        test_fraction: Fraction = 0.2,
        **kwargs: Any,
    ) -> None:
        self.hub_set = open_hub_set(Path(root), image_column, label_column)
        first = _first_headers(self.hub_set)
        size = as_size(image_size) if image_size is not None else first[0].size
        gray = all(header.gray for header in first)
        self.decoding = Decoding(
            size, channels or (1 if gray else 3), image_size is not None, crop, channels is None and gray
        )
        self.on_unreadable: OnUnreadable = on_unreadable
        self.test_fraction = test_fraction
        self._values = _class_values(self.hub_set)
        self.name = re.sub(r"\W+", "_", Path(root).resolve().stem.lower())
        self.image_shape = (self.decoding.channels, *size)
        self.class_names = self.hub_set.class_names or tuple(map(str, self._values))
        self.num_classes = len(self.class_names)
        super().__init__(root, **kwargs)

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Return the images and labels of the "train" or the "test" part."""
        own_files = "test" in self.hub_set.splits
        part = split if own_files else "train"
        decoded = self.hub_set.images(part, self.decoding, self.cache, self.on_unreadable)
        index = {value: i for i, value in enumerate(self._values)}
        labels = torch.tensor([index.get(value, -1) for value in self.hub_set.labels(part)], dtype=torch.long)
        images, labels = decoded["images"], labels[decoded["kept"]]
        if own_files:
            return images, labels
        train, test = stratified_split(labels, self.test_fraction, generator(0, "test part"))
        chosen = train if split == "train" else test
        return images[chosen], labels[chosen]


def _class_values(hub_set: HubSet) -> list[int | str]:
    """Return the raw label of each class, in order."""
    if hub_set.class_names:
        return list(range(len(hub_set.class_names)))
    return sorted({value for split in hub_set.splits for value in hub_set.labels(split)})


def _first_headers(hub_set: HubSet) -> list[Header]:
    headers = []
    for source, _ in zip(hub_set.sources("train"), range(LOOKED_AT), strict=False):
        try:
            headers.append(read_header(source.content))
        except UNREADABLE:
            continue  # setup reports it, or skips it
    if not headers:
        raise UserError(
            f"column {hub_set.image_column!r} in {hub_set.root} holds no images: set {{data.image_column}} to another"
        )
    return headers
