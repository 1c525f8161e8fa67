"""The neural tangent kernel of an infinitely wide convolutional network with pooling (arXiv 1904.11955, 2107.13034).

Legend: a covariance has an entry for each pair of pixels of each pair of images, `(..., H, W, H', W')`, the leading
dimensions being pairs of images.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_dd.losses.ntk import BIAS_VARIANCE, WEIGHT_VARIANCE, relu_expectations

Pair = tuple[Tensor, Tensor]
"""Covariance and tangent kernel, of one shape."""


def conv_ntk(
    first: Tensor,
    second: Tensor | None = None,
    depth: int = 3,
    prepend: bool = True,
    weight_variance: float = WEIGHT_VARIANCE,
    bias_variance: float = BIAS_VARIANCE,
) -> Tensor:
    """Return the kernel of KIP's convolutional network between two sets of images.

    The network: a 3x3 convolution with ReLU (`prepend`), `depth` blocks of 3x3 convolution, ReLU and 2x2 average
    pooling, and a dense layer on the flattened maps. Zeros surround the image.

    The cost is that of all pairs of pixels: time and memory are proportional to `N M (H W)^2`. A pair of 8x8 images
    has 4,096 of them, one of 28x28 614,656, one of 32x32 1,048,576, and some tens of numbers of 8 bytes are kept for
    each where the kernel is differentiated. The published sets took a large pool of accelerators: on one machine this
    is for small images.

    Args:
        first: `(N, C, H, W)`.
        second: `(M, C, H, W)`; None takes `first` again.
        depth: blocks with pooling; a last odd row or column is left out, as pooling does.
        prepend: whether the first convolution, without pooling, is there.
        weight_variance: W_std squared.
        bias_variance: b_std squared.

    Returns:
        `(N, M)` float64; differentiable.
    """
    same = second is None
    first = first.double()
    second = first if same else second.double()
    cross = _pixel_products(first[:, None], second[None])
    # an image with itself: what the variances of a pooled map are made of
    own = [_pixel_products(x, x) for x in ((first,) if same else (first, second))]
    pairs = [(cross, torch.zeros_like(cross)), *((x, torch.zeros_like(x)) for x in own)]
    for pooled in [False] * prepend + [True] * depth:
        pairs = [_convolution(*pair, weight_variance, bias_variance) for pair in pairs]
        pairs = _relu(pairs, same)
        if pooled:
            pairs = [(_pool(covariance), _pool(kernel)) for covariance, kernel in pairs]
    covariance, kernel = (weight_variance * _flatten(part) for part in pairs[0])
    return covariance + bias_variance + kernel


def _pixel_products(first: Tensor, second: Tensor) -> Tensor:
    """Return `<x[:, p], x'[:, p']> / C` for all pairs of pixels."""
    return torch.einsum("...chw,...cij->...hwij", first, second) / first.shape[-3]


def _convolution(covariance: Tensor, kernel: Tensor, weight_variance: float, bias_variance: float) -> Pair:
    """Return covariance and kernel after a 3x3 convolution: `S = w mean(K) + v`, `Θ = S + w mean(Θ)`."""
    covariance = weight_variance * _mean_of_shifts(covariance) + bias_variance
    return covariance, covariance + weight_variance * _mean_of_shifts(kernel)


def _mean_of_shifts(values: Tensor) -> Tensor:
    """Return the mean over the nine positions of a filter, both pixels moving together; zeros outside."""
    for down, right in (((-4), (-2)), ((-3), (-1))):  # rows of both images, then columns
        size, other = values.shape[down], values.shape[right]
        padded = F.pad(values, _padding(down, right))
        shifted = (padded.narrow(down, shift, size).narrow(right, shift, other) for shift in range(3))
        values = sum(shifted) / 3
    return values


def _padding(*axes: int) -> list[int]:
    """Return what `F.pad` wants for one zero on either side of some of the last four axes."""
    return [1 if axis in axes else 0 for axis in (-1, -2, -3, -4) for _ in range(2)]


def _relu(pairs: list[Pair], same: bool) -> list[Pair]:
    """Return all pairs after a ReLU; the variances come from the images' pairs with themselves."""
    variances = [_variances(covariance) for covariance, _ in pairs[1:]]
    rows, columns = variances[0], variances[-1]
    scales = [(rows[:, None, :, :, None, None] * columns[None, :, None, None]).sqrt()]
    scales += [(own[..., None, None] * own[:, None, None]).sqrt() for own in variances]
    activated = []
    for index, ((covariance, kernel), scale) in enumerate(zip(pairs, scales, strict=True)):
        equal = _equal_pixels(covariance, images=index == 0) if same or index else None
        expected, slope = relu_expectations(covariance, scale, equal)
        activated.append((expected, kernel * slope))
    return activated


def _variances(covariance: Tensor) -> Tensor:
    """Return `(N, H, W)`: the diagonal over pixels."""
    height, width = covariance.shape[-4:-2]
    return covariance.flatten(-4, -3).flatten(-2).diagonal(dim1=-2, dim2=-1).unflatten(-1, (height, width))


def _equal_pixels(covariance: Tensor, images: bool) -> Tensor:
    """Tell which entries are of a pixel with itself, `(H, W, H', W')`; with `images`, `(N, N, H, W, H', W')`."""
    height, width = covariance.shape[-4:-2]
    pixels = torch.eye(height * width, dtype=torch.bool, device=covariance.device).view(height, width, height, width)
    if not images:
        return pixels
    return torch.eye(len(covariance), dtype=torch.bool, device=covariance.device)[:, :, None, None, None, None] & pixels


def _pool(values: Tensor) -> Tensor:
    """Return the mean over 2x2 windows of both images."""
    for axis in (-4, -3, -2, -1):
        half = values.shape[axis] // 2
        values = values.narrow(axis, 0, 2 * half).unflatten(axis, (half, 2)).mean(axis)
    return values


def _flatten(values: Tensor) -> Tensor:
    """Return the mean over the pairs of equal pixels, which a dense layer on flattened maps sees."""
    return _variances(values).mean((-2, -1))
