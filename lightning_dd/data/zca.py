"""Fitting ZCA whitening, in the two recipes of the literature; they are not interchangeable.

References:
    MTT, https://arxiv.org/abs/2203.11932 (whitens with Kornia's `ZCAWhitening(eps=0.1)`).
    FRePo, https://arxiv.org/abs/2206.00719.
"""

import hashlib
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from lightning_dd.artifact.preprocessing import Normalization, Whitening
from lightning_dd.data.cache import cached

Recipe = Literal["mtt", "frepo"]
EPSILON = 0.1


def fit_zca(
    images: Tensor, recipe: Recipe, normalization: Normalization, device: torch.device | str = "cpu", chunk: int = 4096
) -> Whitening:
    """Fit a whitening transform to training images, in float64.

    With eigenvalues s and eigenvectors U of the covariance, the matrix is `U diag((s + r)^-1/2) U'`. "mtt" works on
    [0, 1] pixels, divides by n - 1 and takes r = 0.1; "frepo" works on normalized pixels, divides by n and takes
    r = 0.1 times the mean eigenvalue, and treats directions that n images cannot span (n < D) as already white.

    Args:
        images: `(N, C, H, W)` uint8, or float in [0, 1].
        recipe: "mtt" or "frepo".
        normalization: the channel normalization of the "frepo" recipe; "mtt" has none and ignores it.
        device: of the D x D work, D = C*H*W; at D = 3072 most of a minute on a CPU, a second on a GPU.
        chunk: how many images are converted to float64 at a time.

    Returns:
        The transform on the CPU, with float32 matrices.
    """
    normalization = _before_whitening(recipe, normalization)
    count = len(images)
    center, covariance = _moments(images, normalization, device, chunk)
    covariance /= count - 1 if recipe == "mtt" else count
    regularizer = EPSILON if recipe == "mtt" else EPSILON * covariance.trace() / len(covariance)
    eigenvalues, vectors = torch.linalg.eigh(covariance)  # ascending
    # A covariance has no negative eigenvalues; rounding gives tiny ones.
    scales = eigenvalues.clamp(min=0) + regularizer
    if recipe == "frepo" and count < len(scales):
        scales[: len(scales) - count] = 1.0
    matrix = (vectors * scales.rsqrt()) @ vectors.T
    inverse = (vectors * scales.sqrt()) @ vectors.T
    return Whitening(normalization, *(t.float().cpu() for t in (center, matrix, inverse)))


def load_or_fit_zca(
    images: Tensor, recipe: Recipe, normalization: Normalization, device: torch.device | str = "cpu"
) -> Whitening:
    """Return the transform of `fit_zca`, from the cache folder where it was fitted to the same pixels before."""

    def build() -> dict[str, Tensor]:
        fitted = fit_zca(images, recipe, normalization, device)
        return {name: getattr(fitted, name).contiguous() for name in ("center", "matrix", "inverse_matrix")}

    normalization = _before_whitening(recipe, normalization)
    pixels = hashlib.blake2b(images.contiguous().numpy(), digest_size=16).hexdigest()
    options = {"zca": recipe, **normalization.describe(), "shape": list(images.shape), "pixels": pixels}
    return Whitening(normalization, **cached([], options, build))


def _before_whitening(recipe: Recipe, normalization: Normalization) -> Normalization:
    if recipe == "frepo":
        return normalization
    channels = len(normalization.mean)
    return Normalization([0.0] * channels, [1.0] * channels)


def _moments(
    images: Tensor, normalization: Normalization, device: torch.device | str, chunk: int
) -> tuple[Tensor, Tensor]:
    """Return the mean `(D,)` and the sum of centered outer products `(D, D)`, in two passes over chunks."""

    def flat_chunks() -> Iterator[Tensor]:
        for part in images.split(chunk):
            pixels = part.to(device).double()  # divided in float64: as_unit_floats would round to float32 first
            yield normalization(pixels.div_(255) if part.dtype == torch.uint8 else pixels).flatten(1)

    center = sum(rows.sum(0) for rows in flat_chunks()) / len(images)
    products = torch.zeros(len(center), len(center), dtype=torch.float64, device=center.device)
    for rows in flat_chunks():
        rows -= center
        products.addmm_(rows.T, rows)
    return center, products
