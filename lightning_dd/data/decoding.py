"""From image files to one uint8 tensor: any mode, any size, in parallel."""

import math
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

from lightning_dd.errors import OptionError, UserError
from lightning_dd.runtime.bars import tqdm
from lightning_dd.runtime.memory import check_fits

OnUnreadable = Literal["error", "skip"]
NAMED = 10  # unreadable images
# What Pillow raises on files that are broken, cut off, huge or no images at all.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
GRAY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N")
COLOR_MODES = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
MODES = (*GRAY_MODES, *COLOR_MODES, "another")
EXIF_ORIENTATION = 0x0112
SIDEWAYS = (5, 6, 7, 8)  # orientations in which stored width and height are swapped
PROGRESS_FROM = 2000  # images
DARK = 4096  # of 65,536 values
LEAST_STRETCH = 0.02  # a rounded side is none


class Source(NamedTuple):
    """One encoded image: its name in messages, and its file, on disk or in memory."""

    name: str
    content: Path | BytesIO


class Header(NamedTuple):
    """An image's `(H, W)`, upright, and whether it is gray."""

    size: tuple[int, int]
    gray: bool


@dataclass(frozen=True)
class Decoding:
    """The form that images are brought to.

    Attributes:
        size: (H, W) in pixels.
        channels: 1 or 3.
        resize: bring other sizes to `size`; otherwise they are an error.
        crop: resize the shorter side and cut the center out, rather than stretch.
        only_gray: a color image is an error, because one channel was a guess and not the user's wish.
        ground: what transparent images are shown on; what is behind may be any color, black as a rule.
    """

    size: tuple[int, int]
    channels: int
    resize: bool = False
    crop: bool = False
    only_gray: bool = False
    ground: str = "white"


def as_size(image_size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    """Return (H, W) of an `image_size` option, None where it is not given.

    Raises:
        OptionError: if it is not one or two positive numbers.
    """
    if image_size is None:
        return None
    size = tuple(image_size) if isinstance(image_size, tuple | list) else (image_size, image_size)
    if len(size) != 2 or not all(isinstance(length, int) and length >= 1 for length in size):
        limits = "must be one positive number of pixels, or height and width"
        raise OptionError("data.image_size", f"{limits}, got {image_size!r}")
    return size


def _opened(content: Path | BytesIO) -> Image.Image:
    if isinstance(content, Path) and content.exists() and not content.is_file():  # a pipe would wait for ever
        raise OSError("it is no regular file")
    return Image.open(content)


def _states_orientation(image: Image.Image) -> bool:
    return any(key in image.info for key in ("exif", "xmp", "XML:com.adobe.xmp"))


def read_header(content: Path | BytesIO) -> Header | None:
    """Read an image's size and mode without its pixels; None where that fails, which `decode_all` reports or skips."""
    try:
        with _opened(content) as image:
            turned_already = image.format == "TIFF"  # by Pillow
            sideways = not turned_already and image.getexif().get(EXIF_ORIENTATION) in SIDEWAYS
            return Header(image.size if sideways else image.size[::-1], image.mode in GRAY_MODES)
    except UNREADABLE:
        return None


def to_pixels(image: Image.Image, how: Decoding, name: str) -> np.ndarray:
    """Turn a Pillow image into `(C, H, W)` uint8, upright.

    Raises:
        UserError: if it has another size, or colors, that `how` does not allow.
    """
    if how.only_gray and image.mode not in GRAY_MODES:
        raise UserError(f"{name} is in color while the first images are gray: set {{data.channels}} to 1 or 3")
    if _states_orientation(image):
        image = ImageOps.exif_transpose(image)
    image = _on_ground(_to_eight_bits(image), how.ground).convert("L" if how.channels == 1 else "RGB")
    size = how.size[::-1]
    if image.size != size:
        if not how.resize:
            seen, wanted = (f"{h}x{w}" for h, w in (image.size[::-1], how.size))
            raise UserError(f"{name} is {seen} pixels while others are {wanted}: set {{data.image_size}} to resize all")
        fit = ImageOps.fit if how.crop else Image.Image.resize
        image = fit(image, size, Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[None] if how.channels == 1 else pixels.transpose(2, 0, 1)


def _on_ground(image: Image.Image, color: str) -> Image.Image:
    if not image.has_transparency_data:
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, color), image.convert("RGBA"))


def _to_eight_bits(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit gray, sometimes opened as 32 bits: Pillow's own way clips it to white
        values = np.asarray(image).astype(np.int64).clip(0, 65535)
        if 0 < values.max() < DARK:
            rank_zero_warn(
                f"An image of 16 bits reaches no higher than {DARK - 1:,} of 65,535, and is nearly black in 8 bits: "
                "if its values are of 12 bits or fewer, scale all such images to the whole range first."
            )
        return Image.fromarray((values / 257).round().astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    return image


def decode_all(
    sources: Iterable[Source], total: int, how: Decoding, on_unreadable: OnUnreadable | None = None
) -> dict[str, Tensor]:
    """Decode many images on all cores.

    The `total` sources are read in order, a few thousand at a time; broken ones are left out ("skip"), or an error that
    advises to skip where that can be chosen ("error").

    Returns:
        "images": `(n, C, H, W)` uint8; "kept": `(n,)` the positions of these images among the sources; "originals":
        `(n, 3)` int32, each one's height, width and place among `MODES` before.

    Raises:
        UserError: names the images that cannot be read, or one that has a size or colors that `how` does not allow.
    """
    check_fits(total * how.channels * math.prod(how.size), f"{total:,} images of {how.size[0]}x{how.size[1]} pixels")
    images = torch.empty(total, how.channels, *how.size, dtype=torch.uint8)
    out, kept, originals, unreadable = images.numpy(), [], [], []
    with (
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
        tqdm(total=total, desc="decoding images", disable=total <= PROGRESS_FROM, leave=False) as bar,
    ):
        position = 0
        # Pillow releases the interpreter's lock while it decodes; tasks of 64 images make threads cheap.
        for tasks in _batched(_batched(sources, 64), 64):
            for pixels_or_error in pool.map(lambda task: [_try(source, how) for source in task], tasks):
                for result in pixels_or_error:
                    if not isinstance(result, str):
                        out[len(kept)], original = result
                        kept.append(position)
                        originals.append(original)
                    else:
                        unreadable.append(result)
                    position += 1
                bar.update(len(pixels_or_error))
    if unreadable and on_unreadable != "skip":
        what = unreadable[0] if len(unreadable) == 1 else f"{len(unreadable)} images cannot be read: {_few(unreadable)}"
        advice = "" if on_unreadable is None else " or set {data.on_unreadable} to skip"
        raise UserError(f"{what}: remove {'it' if len(unreadable) == 1 else 'them'}{advice}")
    return {
        "images": images[: len(kept)],
        "kept": torch.tensor(kept, dtype=torch.long),
        "originals": torch.tensor(originals, dtype=torch.int32).view(-1, 3),
    }


def conversions(originals: Tensor, how: Decoding) -> list[str]:
    """Return in words what decoding changed, from the "originals" `(n, 3)` of `decode_all`; nothing if nothing."""
    sizes, found = originals[:, :2].double(), []
    resized = (sizes != torch.tensor(how.size)).any(1)
    if resized.any():
        shapes = sizes[resized]
        areas = shapes.prod(1)
        low, high = ("x".join(f"{side:.0f}" for side in shapes[at]) for at in (areas.argmin(), areas.argmax()))
        before = f"from {low}" if low == high else f"from sizes between {low} and {high}"
        ratios = shapes[:, 1] / shapes[:, 0] * how.size[0] / how.size[1]
        way = "cropped" if how.crop else "stretched, which the option crop avoids"
        changed = int((ratios.log().abs() > LEAST_STRETCH).sum())
        found.append(
            f"{len(shapes):,} of {len(sizes):,} resized {before}" + (f" ({changed:,} {way})" if changed else "")
        )
    counts = dict(zip(MODES, originals[:, 2].bincount(minlength=len(MODES)).tolist(), strict=True))
    kept = "L" if how.channels == 1 else "RGB"
    others = [f"{count:,} {mode}" for mode, count in counts.items() if count and mode != kept]
    return [*found, f"{', '.join(others)} converted to {kept}"] if others else found


def _try(source: Source, how: Decoding) -> tuple[np.ndarray, tuple[int, int, int]] | str:
    try:
        with _opened(source.content) as image:
            image.load()
            sideways = _states_orientation(image) and image.getexif().get(EXIF_ORIENTATION) in SIDEWAYS
            size = image.size if sideways else image.size[::-1]
            mode = MODES.index(image.mode if image.mode in MODES else "another")
            return to_pixels(image, how, source.name), (*size, mode)
    except UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return f"{source.name} cannot be read as an image ({reason})"


def skipping(on_unreadable: OnUnreadable | None) -> dict[str, bool]:
    """Return what tells decoded images of which some may be left out from others, for the key of the cache."""
    return {"skip": True} if on_unreadable == "skip" else {}


def warn_of_skipped(names: list[str], kept: Tensor) -> None:
    """Warn of how many images were left out, and name the first of them."""
    missing = set(range(len(names))) - set(kept.tolist())
    if missing:
        left_out = _few([names[position] for position in sorted(missing)])
        rank_zero_warn(f"{len(missing)} of {len(names)} images cannot be read and are left out: {left_out}.")


def _few(names: list[str]) -> str:
    """Return the first of many names, and how many more there are."""
    shown = "; ".join(name.partition(" cannot be read")[0] for name in names[:NAMED])
    return shown + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _batched(items: Iterable, size: int) -> Iterator[list]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
