"""Data from Python: any source of images and labels, or tensors as they are."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_dd.data.decoding import OnUnreadable
from lightning_dd.data.lazy import take
from lightning_dd.data.module import ImageData
from lightning_dd.data.sources import by_names, is_folder, own_names, read_source
from lightning_dd.data.splits import TEST_FRACTION, part_rows
from lightning_dd.errors import UserError
from lightning_dd.runtime.options import Fraction


class FromDataset(ImageData):
    """A torch data set, or another source that `read_source` reads; it is read whole, for the number of classes.

    Floats are stored as uint8 where that loses nothing (as after `ToTensor`) and as float32 otherwise.

    Args:
        train: the training part, without random augmentation.
        test: the test part; where not given, `test_fraction` of each class of `train`.
        class_names: in label order; where not given, the source's own, or else the labels.
        name: of the set, in snake case.
        test_fraction: see `test`.
        image_size: pixels, or (height, width), to resize to; needed where sizes differ.
        crop: resize the shorter side and cut out the center, rather than stretch.
        on_unreadable: of folders: "error", or "skip" to leave broken images out.
        **options: those of `ImageData`; `root` and `cache` are not used.

    Raises:
        UserError: a source cannot be read; see `read_source`.
    """

    def __init__(
        self,
        train: Any,
        test: Any = None,
        class_names: Sequence[str] | None = None,
        name: str = "custom",
        test_fraction: Fraction = TEST_FRACTION,
        image_size: int | tuple[int, int] | None = None,
        crop: bool = False,
        on_unreadable: OnUnreadable = "error",
        **options: Any,
    ) -> None:
        if on_unreadable == "skip" and not any(map(is_folder, (train, test))):
            raise UserError("on_unreadable is for the files of a folder, and these images are no folder: leave it out")
        if class_names is not None and is_folder(train):
            raise UserError("a folder's classes are called as their folders are: leave class_names out")
        images, labels, names = read_source(train, "train", image_size, crop, class_names, on_unreadable)
        if test is None:
            rows = {part: part_rows(labels, part, test_fraction) for part in ("train", "test")}
            self._parts = {part: (take(images, chosen), labels[chosen]) for part, chosen in rows.items()}
        else:
            named = is_folder(test) or own_names(test) is not None  # else its labels are those of the training part
            tested = read_source(test, "test", image_size, crop, None if named else names, on_unreadable)
            known = own_names(train) or names  # a user may call them otherwise
            numbers = tuple(map(str, range(int(labels.max()) + 1)))
            if known is None and set(tested.class_names or ()) <= set(numbers):
                known = numbers  # folders are sorted as texts: 10 before 2
            test_labels = by_names(tested.labels, tested.class_names, known, "the training part")
            self._parts = {"train": (images, labels), "test": (tested.images, test_labels)}
        shapes = [tuple(images.shape[1:]) for images, _ in self._parts.values()]
        if shapes[0] != shapes[1]:
            raise UserError(f"training images are {shapes[0]} but test images are {shapes[1]}: make them alike")
        self.name, self.crop = name, crop
        self.image_shape = shapes[0]
        count = int(max(labels.max() for _, labels in self._parts.values() if len(labels))) + 1
        self.class_names = tuple(map(str, names or range(count)))
        self.num_classes = len(self.class_names)
        super().__init__(**options)

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Return the images and labels of the "train" or the "test" part."""
        return self._parts[split]


class FromTensors(ImageData):
    """Images `(N, C, H, W)` in any range, uint8 or float, and class indices `(N,)`; there is nothing to test on.

    Args:
        images: normalized by their own statistics.
        labels: from 0 on.
        names: of the classes.
    """

    name = "tensors"

    def __init__(self, images: Tensor, labels: Tensor, names: Sequence[int]) -> None:
        images = images if images.dtype == torch.uint8 else images.float()
        self._train = images.detach().cpu(), labels.cpu()
        self.image_shape = tuple(images.shape[1:])
        self.class_names = tuple(map(str, names))
        self.num_classes = len(self.class_names)
        super().__init__(cache=False)

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Return the images and labels; none for the "test" part."""
        images, labels = self._train
        return (images, labels) if split == "train" else (images[:0], torch.empty(0, dtype=torch.long))
