"""Images that stay in their files until they are needed."""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from lightning_dd.data.cache import file_key
from lightning_dd.data.decoding import Decoding, Source, decode_all

CPU = torch.device("cpu")
LIMIT = 2.0
"""GiB of all decoded images of a folder, above which they stay in their files."""


@dataclass(frozen=True)
class LazyImages:
    """Image files that look like `(N, C, H, W)`: positions give a tensor, a slice gives lazy images.

    Attributes:
        files: one an image.
        how: the form that they are brought to, as uint8.
        steps: applied one after another to what is decoded, such as a normalization.
        device: of what comes out.
    """

    files: list[Path]
    how: Decoding
    steps: tuple[Callable[[Tensor], Tensor], ...] = ()
    device: torch.device = CPU

    dtype = torch.uint8
    nbytes = 0
    """Bytes in memory: none until some are decoded."""

    def __len__(self) -> int:
        return len(self.files)

    @property
    def shape(self) -> torch.Size:
        """`(N, C, H, W)`."""
        return torch.Size((len(self), self.how.channels, *self.how.size))

    def __getitem__(self, rows: slice | Tensor) -> "LazyImages | Tensor":
        """Return lazy images of a slice, or decode those at positions `(n,)`."""
        if isinstance(rows, slice):
            return replace(self, files=self.files[rows])
        return self._decoded([self.files[row] for row in rows.tolist()])

    def take(self, rows: Tensor) -> "LazyImages":
        """Return the images at positions `(n,)`, which stay in their files."""
        return replace(self, files=[self.files[row] for row in rows.tolist()])

    def index_select(self, dim: int, rows: Tensor) -> Tensor:
        """Decode the images at positions `(n,)`; `dim` is 0."""
        return self[rows]

    def split(self, size: int) -> Iterator[Tensor]:
        """Decode `size` images after another."""
        return (self._decoded(self.files[start : start + size]) for start in range(0, len(self), size))

    def then(self, step: Callable[[Tensor], Tensor], device: torch.device | None = None) -> "LazyImages":
        """Return the images with one more step, which moves them to the device, if any."""
        return replace(self, steps=(*self.steps, step), device=device or self.device)

    def to(self, target: torch.device | str | torch.dtype) -> "LazyImages":
        """Return the images with one more step: a device or a dtype."""
        device = None if isinstance(target, torch.dtype) else torch.device(target)
        return self.then(lambda images: images.to(target), device)

    @property
    def digest(self) -> str:
        """A digest of the files' paths, sizes and times of change, and of the form."""
        found = hashlib.blake2b(repr(self.how).encode(), digest_size=8)
        for file in self.files:
            found.update(file_key(file))
        return found.hexdigest()

    def _decoded(self, files: list[Path]) -> Tensor:
        images = decode_all([Source(str(file), file) for file in files], len(files), self.how)["images"]
        for step in self.steps:
            images = step(images)
        return images


Images = Tensor | LazyImages
"""Images `(N, C, H, W)`, in memory or not."""


def fits(count: int, how: Decoding, limit: float) -> bool:
    """Return whether so many decoded images are at most `limit` GiB."""
    return count * how.channels * math.prod(how.size) <= limit * 2**30


def take(images: Images, rows: Tensor) -> Images:
    """Return the images at positions `(n,)`; lazy ones stay in their files."""
    return images.take(rows) if isinstance(images, LazyImages) else images[rows]


def prepared(images: Images, preprocess: Callable[[Tensor], Tensor]) -> Images:
    """Return preprocessed images; lazy ones are it when they are decoded."""
    return images.then(preprocess) if isinstance(images, LazyImages) else preprocess(images)
