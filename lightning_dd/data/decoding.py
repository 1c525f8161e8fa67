"""From image files to one uint8 tensor: any mode, any size, in parallel."""

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from lightning_dd.errors import OptionError, UserError

OnUnreadable = Literal["error", "skip"]
# What Pillow raises on files that are broken, cut off, huge or no images at all.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
GRAY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N")
EXIF_ORIENTATION = 0x0112
SIDEWAYS = (5, 6, 7, 8)  # orientations in which stored width and height are swapped
PROGRESS_FROM = 2000  # images


class Source(NamedTuple):
    """One encoded image: what to call it in messages, and its file or its bytes."""

    name: str
    content: Path | bytes


class Header(NamedTuple):
    """What an image's header says: `(H, W)` as it is to be seen, and whether it is gray."""

    size: tuple[int, int]
    gray: bool


@dataclass(frozen=True)
class Decoding:
    """What images are turned into.

    Attributes:
        size: (H, W) in pixels.
        channels: 1 or 3.
        resize: bring other sizes to `size`; otherwise they are an error.
        crop: resize the shorter side and cut the centre out, rather than stretch.
        only_gray: a colour image is an error, because one channel was a guess and not the user's wish.
    """

    size: tuple[int, int]
    channels: int
    resize: bool = False
    crop: bool = False
    only_gray: bool = False


def as_size(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Return (H, W) of an `image_size` option.

    Raises:
        OptionError: if it is not one or two positive numbers.
    """
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(size) != 2 or min(size) < 1:
        sentence = f"must be one positive number of pixels, or height and width, got {image_size}"
        raise OptionError("data.image_size", sentence)
    return size


def read_header(content: Path | bytes) -> Header:
    """Read an image's size and mode without decoding its pixels; raises one of `UNREADABLE`."""
    with _open(content) as image:
        width, height = image.size
        if image.getexif().get(EXIF_ORIENTATION) in SIDEWAYS:
            width, height = height, width
        return Header((height, width), image.mode in GRAY_MODES)


def decode_image(source: Source, how: Decoding) -> np.ndarray:
    """Decode one image to `(C, H, W)` uint8.

    Raises:
        UserError: if it has another size, or colours, that `how` does not allow.
    """
    with _open(source.content) as image:
        image.load()
        return to_pixels(image, how, source.name)


def to_pixels(image: Image.Image, how: Decoding, name: str) -> np.ndarray:
    """Turn a Pillow image into `(C, H, W)` uint8, turned upright; see `decode_image`."""
    if how.only_gray and image.mode not in GRAY_MODES:
        raise UserError(f"{name} is in color while the first images are gray: set {{data.channels}} to 1 or 3")
    if "exif" in image.info:
        image = ImageOps.exif_transpose(image)
    image = _to_eight_bits(image).convert("L" if how.channels == 1 else "RGB")
    if image.size != how.size[::-1]:
        image = _fit(image, how, name)
    pixels = np.asarray(image)
    return pixels[None] if how.channels == 1 else pixels.transpose(2, 0, 1)


def _fit(image: Image.Image, how: Decoding, name: str) -> Image.Image:
    if not how.resize:
        seen, wanted = (f"{h}x{w}" for h, w in (image.size[::-1], how.size))
        raise UserError(f"{name} is {seen} pixels while others are {wanted}: set {{data.image_size}} to resize all")
    size = how.size[::-1]
    if how.crop:
        return ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    return image.resize(size, Image.Resampling.BILINEAR)


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit gray to 8 bits; Pillow's own conversion would clip it to white."""
    if image.mode.startswith("I"):
        # "I" (32 bits) is how some 16-bit files are opened.
        return Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) / 257).round().astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    return image


def _open(content: Path | bytes) -> Image.Image:
    return Image.open(BytesIO(content) if isinstance(content, bytes) else content)


def decode_all(
    sources: Iterable[Source], total: int, how: Decoding, on_unreadable: OnUnreadable = "error"
) -> dict[str, Tensor]:
    """Decode many images on all cores.

    Args:
        sources: in order; consumed a few thousand at a time, so they may be made lazily.
        total: how many there are.
        how: what they become.
        on_unreadable: "error", or "skip" to leave broken images out.

    Returns:
        "images": `(n, C, H, W)` uint8; "kept": `(n,)` the positions of these images among the sources.

    Raises:
        UserError: names the first image that cannot be read, or that has a size or colours that `how` does not allow.
    """
    images = torch.empty(total, how.channels, *how.size, dtype=torch.uint8)
    out, kept = images.numpy(), []
    with (
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
        tqdm(total=total, desc="decoding images", disable=total <= PROGRESS_FROM, leave=False) as bar,
    ):
        position = 0
        for window in _batched(sources, 4096):
            # Pillow releases the interpreter's lock while it decodes; tasks of 64 images make threads cheap.
            tasks = list(_batched(window, 64))
            for pixels_or_error in pool.map(lambda task: [_try(source, how) for source in task], tasks):
                for result in pixels_or_error:
                    if isinstance(result, np.ndarray):
                        out[len(kept)] = result
                        kept.append(position)
                    elif on_unreadable == "error":
                        raise UserError(result)
                    position += 1
                bar.update(len(pixels_or_error))
    return {"images": images[: len(kept)], "kept": torch.tensor(kept, dtype=torch.long)}


def _try(source: Source, how: Decoding) -> np.ndarray | str:
    try:
        return decode_image(source, how)
    except UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return f"{source.name} cannot be read as an image ({reason}): remove it or set {{data.on_unreadable}} to skip"


def warn_of_skipped(names: list[str], kept: Tensor) -> None:
    """Say how many images were left out, and the first of them."""
    missing = set(range(len(names))) - set(kept.tolist())
    if missing:
        rank_zero_warn(
            f"{len(missing)} of {len(names)} images of this part cannot be read and are left out, "
            f"{names[min(missing)]} first"
        )


def _batched(items: Iterable, size: int) -> Iterator[list]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
