import numpy as np
import pytest
import torch

from lightning_dd.artifact.preprocessing import Normalization
from lightning_dd.data.zca import fit_zca, load_or_fit_zca

NORMALIZATION = Normalization([0.4, 0.6], [0.2, 0.25])


def correlated_images(count, seed=0):
    rng = torch.Generator().manual_seed(seed)
    noise = torch.rand(count, 2, 3, 4, generator=rng)
    return ((noise + noise.roll(1, -1) + noise.roll(1, 1)) / 3).mul(255).round().to(torch.uint8)


def flat_pixels(images, normalization=None):
    x = images.numpy().astype(np.float64) / 255
    if normalization:
        x = (x - np.array(normalization.mean)[:, None, None]) / np.array(normalization.std)[:, None, None]
    return x.reshape(len(x), -1)


def expected_mtt(images):
    x = flat_pixels(images)
    values, vectors = np.linalg.eigh(np.cov(x.T))
    return x.mean(0), vectors @ np.diag((values + 0.1) ** -0.5) @ vectors.T


def expected_frepo(images):
    """Follow the paper's code: SVD of the regularised covariance, trailing values replaced if n < D."""
    x = flat_pixels(images, NORMALIZATION)
    covariance = np.cov(x.T, bias=True)
    size = len(covariance)
    vectors, values, _ = np.linalg.svd(covariance + 0.1 * np.trace(covariance) / size * np.eye(size))
    if len(x) < size:
        values = np.concatenate([values[: len(x)], np.ones(size - len(x))])
    return x.mean(0), vectors @ np.diag(values**-0.5) @ vectors.T


RECIPES = pytest.mark.parametrize(("recipe", "expected"), [("mtt", expected_mtt), ("frepo", expected_frepo)])


@RECIPES
def test_matrix_follows_the_recipe(recipe, expected):
    images = correlated_images(300)
    whitening = fit_zca(images, recipe, NORMALIZATION, chunk=64)
    center, matrix = expected(images)
    np.testing.assert_allclose(whitening.center.numpy(), center, atol=1e-6)
    np.testing.assert_allclose(whitening.matrix.numpy(), matrix, atol=1e-5)
    assert whitening.matrix.dtype == torch.float32


@RECIPES
def test_fewer_images_than_dimensions(recipe, expected):
    # Ten centered images span nine dimensions, so which tenth direction FRePo keeps is left to rounding: compare what
    # does not depend on it, the scales and the images themselves.
    images = correlated_images(10)
    whitening = fit_zca(images, recipe, NORMALIZATION)
    center, matrix = expected(images)
    np.testing.assert_allclose(torch.linalg.eigvalsh(whitening.matrix), np.linalg.eigvalsh(matrix), atol=1e-5)
    white = (flat_pixels(images, NORMALIZATION if recipe == "frepo" else None) - center) @ matrix
    np.testing.assert_allclose(whitening(images).flatten(1), white, atol=1e-5)


@pytest.mark.parametrize("recipe", ["mtt", "frepo"])
def test_whitened_covariance(recipe):
    images = correlated_images(500)
    whitening = fit_zca(images, recipe, NORMALIZATION)
    white = whitening(images).flatten(1).double()
    got = torch.linalg.eigvalsh(white.T.cov(correction=1 if recipe == "mtt" else 0))
    x = flat_pixels(images, None if recipe == "mtt" else NORMALIZATION)
    values = np.linalg.eigvalsh(np.cov(x.T, bias=recipe == "frepo"))
    regulariser = 0.1 if recipe == "mtt" else 0.1 * values.mean()
    np.testing.assert_allclose(got.numpy(), np.sort(values / (values + regulariser)), atol=1e-4)
    assert white.mean(0).abs().max() < 1e-5


@pytest.mark.parametrize("recipe", ["mtt", "frepo"])
def test_inverse_gives_the_pixels_back(recipe):
    images = correlated_images(200)
    whitening = fit_zca(images, recipe, NORMALIZATION)
    torch.testing.assert_close(whitening.inverse(whitening(images)), images / 255, atol=1e-5, rtol=0)


def test_mtt_ignores_the_normalization():
    images = correlated_images(50)
    plain = fit_zca(images, "mtt", Normalization([0.0, 0.0], [1.0, 1.0]))
    assert torch.equal(fit_zca(images, "mtt", NORMALIZATION).matrix, plain.matrix)


def test_floats_and_bytes_agree():
    images = correlated_images(50)
    as_bytes = fit_zca(images, "frepo", NORMALIZATION)
    torch.testing.assert_close(fit_zca(images / 255, "frepo", NORMALIZATION).matrix, as_bytes.matrix)


@pytest.mark.parametrize("recipe", ["mtt", "frepo"])
def test_fitted_once_for_the_same_pixels(recipe, monkeypatch):
    images = correlated_images(50)
    fitted = load_or_fit_zca(images, recipe, NORMALIZATION)
    other = load_or_fit_zca(correlated_images(50, seed=1), recipe, NORMALIZATION)
    assert not torch.equal(other.matrix, fitted.matrix)
    monkeypatch.setattr("lightning_dd.data.zca.fit_zca", lambda *_: pytest.fail("fitted again"))
    again = load_or_fit_zca(images, recipe, NORMALIZATION)
    assert torch.equal(again(images), fitted(images))
    assert torch.equal(again.inverse_matrix, fitted.inverse_matrix)
    assert again.normalization.std == fitted.normalization.std == ([1.0, 1.0] if recipe == "mtt" else [0.2, 0.25])
