"""Any data set in the hub's Parquet layout."""

import re
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from lightning_dd.data.decoding import Decoding, OnUnreadable, as_size, read_header
from lightning_dd.data.hub import open_hub_set
from lightning_dd.data.module import ImageData
from lightning_dd.data.splits import TEST_FRACTION, part_rows
from lightning_dd.errors import UserError
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
        crop: resize the shorter side and cut out the center, rather than stretch.
        channels: 1 or 3; where not given, 1 if the first images are gray.
        on_unreadable: "error", or "skip" to leave broken images out.
        test_fraction: of each class, to test on where there are no test files.
        **options: those of `ImageData`.

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
        test_fraction: Fraction = TEST_FRACTION,
        **options: Any,
    ) -> None:
        self.hub_set = hub_set = open_hub_set(Path(root).expanduser(), image_column, label_column)
        looked_at = (read_header(source.content) for source in islice(hub_set.sources("train"), LOOKED_AT))
        first = [header for header in looked_at if header]
        if not first:
            column = f"column {hub_set.image_column!r} in {hub_set.root}"
            raise UserError(f"{column} holds no images: set {{data.image_column}} to another")
        size, gray = as_size(image_size) or first[0].size, all(header.gray for header in first)
        only_gray = channels is None and gray
        self.decoding = Decoding(size, channels or (1 if gray else 3), image_size is not None, crop, only_gray)
        self.on_unreadable: OnUnreadable = on_unreadable
        self.crop = crop
        self.test_fraction = test_fraction
        named = hub_set.class_names
        found = (label for part in hub_set.splits for label in hub_set.labels(part))
        self._values = range(len(named)) if named else sorted(set(found))
        self.name = re.sub(r"\W+", "_", Path(root).resolve().stem.lower())
        self.image_shape = (self.decoding.channels, *size)
        self.class_names = named or tuple(map(str, self._values))
        self.num_classes = len(self.class_names)
        super().__init__(root, **options)

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Return the images and labels of the "train" or the "test" part."""
        own_files = "test" in self.hub_set.splits
        part = split if own_files else "train"
        decoded = self.hub_set.images(part, self.decoding, self.cache, self.on_unreadable)
        index = {value: i for i, value in enumerate(self._values)}
        labels = torch.tensor([index.get(value, -1) for value in self.hub_set.labels(part)], dtype=torch.long)
        images, labels = decoded["images"], labels[decoded["kept"]]
        chosen = slice(None) if own_files else part_rows(labels, split, self.test_fraction)
        self.originals.append(decoded["originals"][chosen])
        return images[chosen], labels[chosen]
