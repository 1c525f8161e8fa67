"""The six operations of DSA (arXiv 2102.08259) with explicit parameters: nothing here is random.

Kornia gives the base classes and the warp. Color, crop and cutout are our own, because Kornia's use the global
generator, clamp contrast to [0, 1] and take saturation through HSV.

`parameters` maps uniform numbers in [0, 1) to an operation's parameters, `apply_transform` applies these. Leading
dimensions are free: images `(..., C, H, W)` take parameters `(..., 3)` that broadcast against them, so `(K, 1, 3)` is
one transform for each of K groups and `(K, N, 3)` one for each image. Kornia's own call works as well:
`Crop()(images, params={"values": values})`. All operations act in normalized (or whitened) space and fill with 0.
"""

import math
from typing import Any

import torch
from kornia.augmentation import GeometricAugmentationBase2D, IntensityAugmentationBase2D
from kornia.geometry.transform import warp_affine
from torch import Tensor

NUM_UNIFORMS = 3
"""Uniform numbers for every operation, whether it needs them all or not: no draw shifts another's."""

CROP_RATIO = 0.125
CUTOUT_RATIO = 0.5
SCALE_RATIO = 1.2
ROTATE_DEGREES = 15.0

Params = dict[str, Tensor]


class _Operation:
    """The base of all operations: they act on every image, with explicit parameters."""

    def __init__(self) -> None:
        super().__init__(p=1.0)

    def apply_transform(
        self, input: Tensor, params: Params, flags: dict[str, Any] | None = None, transform: Tensor | None = None
    ) -> Tensor:
        """Return the transformed images."""
        return self.transformed(input, params["values"])


class _Geometric(_Operation, GeometricAugmentationBase2D):
    def compute_transformation(self, input: Tensor, params: Params, flags: dict[str, Any]) -> Tensor:
        """Return the matrix `(..., 3, 3)` from source to destination pixels (x, y, 1)."""
        return self.matrix(params["values"].to(input.dtype), input.shape)


class Color(_Operation, IntensityAugmentationBase2D):
    """Brightness `x + b`, then saturation `(x - m) s + m`, then contrast `(x - m) c + m`.

    m is the mean over channels at each pixel for saturation, and over the whole image for contrast. Uniform numbers u
    give b = u - 0.5, s = 2 u, c = u + 0.5.
    """

    def parameters(self, uniforms: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Map `(..., 3)` uniform numbers to (b, s, c)."""
        return uniforms * uniforms.new_tensor([1.0, 2.0, 1.0]) + uniforms.new_tensor([-0.5, 0.0, 0.5])

    def transformed(self, images: Tensor, values: Tensor) -> Tensor:
        """Return the images with changed colors."""
        brightness, saturation, contrast = values.to(images.dtype)[..., None, None, None, :].unbind(-1)
        # The three steps are linear in x and keep each other's means, so together they are, in one pass over x,
        # c s x + c (1 - s) m_pixel + (1 - c) m_image + b with the means of the untouched image.
        pixel_mean = images.mean(-3, keepdim=True)
        image_mean = pixel_mean.mean((-2, -1), keepdim=True)
        offset = contrast * (1 - saturation) * pixel_mean + ((1 - contrast) * image_mean + brightness)
        return torch.addcmul(offset, images, contrast * saturation)


class Cutout(_Operation, IntensityAugmentationBase2D):
    """A square of half the image's side set to 0, clipped at the border; each axis has its own side where H != W.

    The center is uniform on {0..size} where the side is even (on {0..size-1} where it is odd), and the square covers
    `center - side // 2 ... center - side // 2 + side - 1`.
    """

    def parameters(self, uniforms: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Map `(..., 3)` uniform numbers to the center (row, column, unused), whole numbers."""
        positions = [size + 1 - _portion(CUTOUT_RATIO, size) % 2 for size in image_size]
        return (uniforms * uniforms.new_tensor([*positions, 0])).floor()

    def transformed(self, images: Tensor, values: Tensor) -> Tensor:
        """Return the images with a square cut out."""
        rows, columns = (_covered(values[..., axis], size) for axis, size in enumerate(images.shape[-2:]))
        return images.masked_fill((rows[..., :, None] & columns[..., None, :]).unsqueeze(-3), 0)


class Crop(_Geometric):
    """A shift by whole pixels, `out[y, x] = in[y + dy, x + dx]`, each uniform on {-s..s}, s = int(size/8 + 0.5)."""

    def parameters(self, uniforms: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Map `(..., 3)` uniform numbers to (dy, dx, unused), whole numbers."""
        largest = uniforms.new_tensor([*(_portion(CROP_RATIO, size) for size in image_size), 0])
        return (uniforms * (2 * largest + 1)).floor() - largest

    def matrix(self, values: Tensor, shape: torch.Size) -> Tensor:
        """Return the matrix `(..., 3, 3)` for images of a shape `(..., H, W)`."""
        dy, dx, _ = values.unbind(-1)
        one, zero = torch.ones_like(dx), torch.zeros_like(dx)
        return _matrix((one, zero, -dx), (zero, one, -dy))

    def transformed(self, images: Tensor, values: Tensor) -> Tensor:
        """Return the shifted images; exact, without interpolation."""
        height, width = images.shape[-2:]
        shifts = values.long()
        rows = torch.arange(height, device=images.device) + shifts[..., :1]
        columns = torch.arange(width, device=images.device) + shifts[..., 1:2]
        near_rows, near_columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
        outside = (rows != near_rows)[..., :, None] | (columns != near_columns)[..., None, :]
        source = near_rows[..., :, None] * width + near_columns[..., None, :]
        index = source.flatten(-2).unsqueeze(-2).expand(*images.shape[:-2], -1)
        shifted = images.flatten(-2).gather(-1, index).unflatten(-1, (height, width))
        return shifted.masked_fill_(outside.unsqueeze(-3), 0)


class Flip(_Geometric):
    """A horizontal mirror with probability 1/2."""

    def parameters(self, uniforms: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Map `(..., 3)` uniform numbers to (1 where mirrored else 0, unused, unused)."""
        return (uniforms < 0.5).to(uniforms.dtype) * uniforms.new_tensor([1.0, 0.0, 0.0])

    def matrix(self, values: Tensor, shape: torch.Size) -> Tensor:
        """Return the matrix `(..., 3, 3)` for images of a shape `(..., H, W)`."""
        mirrored = values[..., 0]
        one, zero = torch.ones_like(mirrored), torch.zeros_like(mirrored)
        return _matrix((1 - 2 * mirrored, zero, mirrored * (shape[-1] - 1)), (zero, one, zero))

    def transformed(self, images: Tensor, values: Tensor) -> Tensor:
        """Return the images, some of them mirrored."""
        return torch.where((values[..., 0] > 0.5)[..., None, None, None], images.flip(-1), images)


class _Warp(_Geometric):
    """Bilinear sampling `out(p) = in(A p)`, p in pixels from the center, 0 outside, corners aligned."""

    def transformed(self, images: Tensor, values: Tensor) -> Tensor:
        """Return the warped images."""
        # half precision would misplace the samples: the grid needs float32 at least
        with torch.autocast(images.device.type, enabled=False):
            return self._warped(images.to(torch.promote_types(images.dtype, torch.float32)), values).to(images.dtype)

    def _warped(self, exact: Tensor, values: Tensor) -> Tensor:
        matrix = self.matrix(values.to(exact.dtype), exact.shape)
        if matrix.shape[:-2].numel() > 1:  # one matrix for all is broadcast by warp_affine, at half the time
            matrix = matrix.expand(*exact.shape[:-3], 3, 3)
        flat = exact.reshape(-1, *exact.shape[-3:])
        warped = warp_affine(flat, matrix.reshape(-1, 3, 3)[:, :2], exact.shape[-2:], align_corners=True)
        return warped.view(exact.shape)


class Scale(_Warp):
    """A = diag(sx, sy), each uniform in [1/1.2, 1.2] on its own: above 1 the content shrinks."""

    def parameters(self, uniforms: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Map `(..., 3)` uniform numbers to (sx, sy, unused)."""
        return uniforms * (SCALE_RATIO - 1 / SCALE_RATIO) + 1 / SCALE_RATIO

    def matrix(self, values: Tensor, shape: torch.Size) -> Tensor:
        """Return the inverse of A about the center, `(..., 3, 3)`."""
        sx, sy, _ = values.unbind(-1)
        zero = torch.zeros_like(sx)
        return _about_center(1 / sx, zero, zero, 1 / sy, shape)


class Rotate(_Warp):
    """A = [[cos a, -sin a], [sin a, cos a]], a uniform in [-15°, 15°]: a true rotation where H != W too."""

    def parameters(self, uniforms: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Map `(..., 3)` uniform numbers to (a in radians, unused, unused)."""
        return (2 * uniforms - 1) * uniforms.new_tensor([math.radians(ROTATE_DEGREES), 0.0, 0.0])

    def matrix(self, values: Tensor, shape: torch.Size) -> Tensor:
        """Return the inverse of A about the center, `(..., 3, 3)`."""
        cos, sin = values[..., 0].cos(), values[..., 0].sin()
        return _about_center(cos, sin, -sin, cos, shape)


Operation = Color | Crop | Cutout | Flip | Scale | Rotate

OPERATIONS: dict[str, type[Operation]] = {
    operation.__name__.lower(): operation for operation in (Color, Crop, Cutout, Flip, Scale, Rotate)
}


def _portion(ratio: float, size: int) -> int:
    """Return the nearest whole number of pixels, as the authors round it."""
    return int(ratio * size + 0.5)


def _covered(center: Tensor, size: int) -> Tensor:
    """Tell which of `size` positions the square around each center covers: `(...)` to `(..., size)`."""
    side = _portion(CUTOUT_RATIO, size)
    distance = torch.arange(size, device=center.device) - (center.long() - side // 2).unsqueeze(-1)
    return (distance >= 0) & (distance < side)


def _matrix(*rows: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Stack two rows of `(...)` entries, and (0, 0, 1) below them, to `(..., 3, 3)`."""
    top = torch.stack([torch.stack(row, -1) for row in rows], -2)
    bottom = torch.zeros_like(top[..., :1, :])
    bottom[..., 2] = 1
    return torch.cat([top, bottom], -2)


def _about_center(a: Tensor, b: Tensor, c: Tensor, d: Tensor, shape: torch.Size) -> Tensor:
    """Return [[a, b], [c, d]] acting on pixels (x, y) about the image's center, as `(..., 3, 3)`."""
    x, y = (shape[-1] - 1) / 2, (shape[-2] - 1) / 2
    return _matrix((a, b, x - a * x - b * y), (c, d, y - c * x - d * y))
