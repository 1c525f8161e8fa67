"""Codecs: synthetic images stored as themselves, as tiles of smaller images, or as frequencies.

The budget of K classes with IPC images is K * IPC * C * H * W numbers; a codec decodes it into more images.
"""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_dd.errors import UserError

CODECS: dict[str, type["Codec"]] = {}
"""Every codec that has been imported, by its name."""


class Codec(nn.Module):
    """Base of all codecs; a subclass makes `images` in its constructor and writes `encode` and `decode`.

    Args:
        num_classes: K.
        ipc: stored images per class: the budget.
        image_shape: `(C, H, W)` of a decoded image.
        options: of the subclass, beyond these three, in plain values; a file stores them.
    """

    kind: ClassVar[str]
    """Name in files: that of the class."""
    whitening: ClassVar[bool] = True
    """Whether the decoded images may lie in a whitened space."""
    images: nn.Parameter
    """The stored parameters, zeros at first."""
    images_per_class: int
    """Decoded images of each class."""

    def __init__(self, num_classes: int, ipc: int, image_shape: tuple[int, int, int], **options: Any) -> None:
        super().__init__()
        self.num_classes, self.ipc, self.image_shape, self.options = num_classes, ipc, tuple(image_shape), options

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.kind = cls.__name__
        CODECS[cls.kind] = cls

    def __len__(self) -> int:
        return self.num_classes * self.images_per_class

    def encode(self, images: Tensor) -> Tensor:
        """Return the stored form of decoded images `(N, C, H, W)`, class-major."""
        raise NotImplementedError

    def decode(self, rows: Tensor | None = None) -> Tensor:
        """Return decoded images `(n, C, H, W)`, differentiably; `rows` `(n,)` are class-major, None is all."""
        raise NotImplementedError

    def fit(self, images: Tensor, labels: Tensor | None = None) -> None:
        """Fit what is not learned, before `start`, to real images `(N, C, H, W)` in the networks' space, by class.

        Nothing by default. Without labels `(N,)`, all classes are fitted alike.
        """

    @torch.no_grad()
    def start(self, images: Tensor) -> None:
        """Store initial images `(K * images_per_class, C, H, W)`."""
        self.images.copy_(self.encode(images))

    @torch.no_grad()
    def start_noise(self, generator: torch.Generator) -> None:
        """Store standard normal noise; the generator is on the CPU."""
        self.images.copy_(torch.randn(self.images.shape, generator=generator))

    def budget(self) -> int:
        """Return the number of stored numbers."""
        return self.images.numel()

    def describe(self) -> dict[str, Any]:
        """Return the arguments of `restore` besides the tensors, in plain values."""
        shape = {"num_classes": self.num_classes, "ipc": self.ipc, "image_shape": list(self.image_shape)}
        return {"kind": self.kind, "options": self.options, **shape}


CodecFactory = Callable[[int, int, tuple[int, int, int]], Codec]
"""Called with `(num_classes, ipc, image_shape)`; a class such as `Tiles` or a `functools.partial` of it is one."""


def restore(description: dict[str, Any], tensors: dict[str, Tensor]) -> Codec:
    """Return a codec in float32 from `Codec.describe` and its `state_dict`.

    Raises:
        UserError: its class has not been imported.
        KeyError, TypeError, RuntimeError: the description or the tensors are damaged.
    """
    kind = description["kind"]
    if kind not in CODECS:
        raise UserError(f"The images are stored by the codec {kind}, which this program lacks; import its class first.")
    shape = description["num_classes"], description["ipc"], tuple(description["image_shape"])
    codec = CODECS[kind](*shape, **description["options"])
    codec.load_state_dict(tensors)
    return codec.float()


class Pixels(Codec):
    """The stored parameters are the images themselves."""

    def __init__(self, num_classes: int, ipc: int, image_shape: tuple[int, int, int]) -> None:
        super().__init__(num_classes, ipc, image_shape)
        self.images_per_class = ipc
        self.images = nn.Parameter(torch.zeros(num_classes * ipc, *image_shape))

    def encode(self, images: Tensor) -> Tensor:
        """Return the images."""
        return images

    def decode(self, rows: Tensor | None = None) -> Tensor:
        """Return the parameter itself, or rows of it."""
        return self.images if rows is None else self.images.index_select(0, rows)


class Tiles(Codec):
    """Each stored image is a grid of smaller images, each enlarged bilinearly (IDC, arXiv 2205.14959).

    The tiles of a stored image follow one another row by row. Where the factor does not divide a side, the stored image
    is padded with zeros at its right and lower edge: gray, in a normalized space.

    Args:
        factor: tiles in a row and in a column of a stored image; `ipc * factor ** 2` images a class are decoded.

    Raises:
        UserError: the images are too small for so many tiles.
    """

    def __init__(self, num_classes: int, ipc: int, image_shape: tuple[int, int, int], factor: int = 2) -> None:
        super().__init__(num_classes, ipc, image_shape, factor=factor)
        sides = image_shape[1:]
        if factor < 1 or any((factor - 1) * -(-side // factor) >= side for side in sides):
            raise UserError(f"Tiles cannot cut images of {sides[0]}x{sides[1]} pixels by a factor of {factor}.")
        self.factor = factor
        self.tile = tuple(-(-side // factor) for side in sides)
        self.images_per_class = ipc * factor**2
        self.images = nn.Parameter(torch.zeros(num_classes * ipc, *image_shape))

    def encode(self, images: Tensor) -> Tensor:
        """Return images reduced to tiles (means of areas), in grids."""
        small = F.interpolate(images, self.tile, mode="area")
        grids = small.unflatten(0, (-1, self.factor, self.factor)).permute(0, 3, 1, 4, 2, 5)
        _, height, width = self.image_shape
        return grids.flatten(4, 5).flatten(2, 3)[..., :height, :width]

    def decode(self, rows: Tensor | None = None) -> Tensor:
        """Return tiles enlarged to whole images."""
        (_, *size), (height, width) = self.image_shape, self.tile
        whole = F.pad(self.images, (0, self.factor * width - size[1], 0, self.factor * height - size[0]))
        grids = whole.unflatten(3, (self.factor, width)).unflatten(2, (self.factor, height))
        tiles = grids.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
        tiles = tiles if rows is None else tiles.index_select(0, rows)
        return F.interpolate(tiles, tuple(size), mode="bilinear", align_corners=False)


class Frequencies(Codec):
    """Each image is stored as a few coefficients of its discrete cosine transform (FreD, arXiv 2311.08819).

    The transform is orthonormal. The same coefficients are kept for all images and channels of a class: those that vary
    most over its real images. Their positions are stored beside the budget.

    Args:
        keep: coefficients of a channel; `floor(ipc * H * W / keep)` images a class are decoded.

    Raises:
        UserError: an image has fewer coefficients.
    """

    whitening = False  # whitened images have no few frequencies that vary most

    def __init__(self, num_classes: int, ipc: int, image_shape: tuple[int, int, int], keep: int = 64) -> None:
        super().__init__(num_classes, ipc, image_shape, keep=keep)
        channels, height, width = image_shape
        if not 1 <= keep <= height * width:
            raise UserError(f"Frequencies can keep 1 to {height * width} of {height}x{width} pixels, not {keep}.")
        self.images_per_class = ipc * height * width // keep
        self.images = nn.Parameter(torch.zeros(len(self), channels, keep))
        lowest = (torch.arange(height).view(-1, 1) / height + torch.arange(width) / width).flatten()
        self.register_buffer("positions", lowest.argsort(stable=True)[:keep].repeat(num_classes, 1))
        self.register_buffer("_rows", cosine_transform(height), persistent=False)
        self.register_buffer("_columns", cosine_transform(width), persistent=False)

    @torch.no_grad()
    def fit(self, images: Tensor, labels: Tensor | None = None) -> None:
        """Keep the coefficients that vary most over a class, or the lowest of a class with less than two images."""
        for c in range(self.num_classes):
            own = images if labels is None else images[labels == c]
            if len(own) > 1:
                variance = self._transform(own).var(0).mean(0).flatten()
                self.positions[c] = variance.topk(self.positions.shape[1]).indices.sort().values

    def encode(self, images: Tensor) -> Tensor:
        """Return the kept coefficients of the images."""
        return self._transform(images).flatten(2).gather(2, self._positions(None))

    def decode(self, rows: Tensor | None = None) -> Tensor:
        """Return the inverse transform of the kept coefficients, all others being zero."""
        kept = self.images if rows is None else self.images.index_select(0, rows)
        channels, height, width = self.image_shape
        every = kept.new_zeros(len(kept), channels, height * width).scatter(2, self._positions(rows), kept)
        with torch.autocast(kept.device.type, enabled=False):
            return self._rows.T @ every.unflatten(2, (height, width)) @ self._columns

    def _transform(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            return self._rows @ images @ self._columns.T

    def _positions(self, rows: Tensor | None) -> Tensor:
        """Return the coefficients' positions in a channel, `(n, C, keep)`."""
        rows = torch.arange(len(self), device=self.positions.device) if rows is None else rows
        return self.positions[rows // self.images_per_class].unsqueeze(1).expand(-1, self.image_shape[0], -1)


def cosine_transform(length: int) -> Tensor:
    """Return the orthonormal matrix `(length, length)` of the discrete cosine transform, DCT-II."""
    places = torch.arange(length, dtype=torch.float64)
    matrix = (math.pi / length * places.view(-1, 1) * (places + 0.5)).cos() * math.sqrt(2 / length)
    matrix[0] /= math.sqrt(2)
    return matrix.float()
