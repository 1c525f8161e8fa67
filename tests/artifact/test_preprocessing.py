"""From pixels to the networks' space and back."""

import hashlib

import pytest
import torch

from lightning_dd.artifact.preprocessing import Normalization, Whitening, as_unit_floats

MEAN, STD = [0.1, 0.5, 0.8], [0.2, 0.3, 0.4]
SHAPE = (3, 4, 5)


def _pixels(*leading, seed=0):
    return torch.randint(256, (*leading, *SHAPE), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def _normalization():
    return Normalization(MEAN, STD)


def _whitening():
    matrix = torch.randn(60, 60, generator=torch.Generator().manual_seed(1))
    matrix = matrix @ matrix.T / 60 + 0.5 * torch.eye(60)
    return Whitening(_normalization(), torch.linspace(-1, 1, 60), matrix, matrix.inverse())


BOTH = pytest.mark.parametrize("make", [_normalization, _whitening])


def test_units():
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8)
    assert as_unit_floats(pixels).tolist() == pytest.approx([0, 0.2, 1])
    assert pixels.tolist() == [0, 51, 255]
    floats = torch.tensor([-1.0, 0.3, 4.0])
    assert as_unit_floats(floats) is floats


def test_normalization_by_hand():
    image = torch.tensor([0.3, 0.2, 1.0]).view(3, 1, 1)
    assert _normalization()(image).flatten().tolist() == pytest.approx([1.0, -1.0, 0.5])


def test_whitening_by_hand():
    # one channel of 1x2 pixels: (0.5, 1.0) is (0, 2) normalized, (-1, 1) centered, and the matrix mixes the two
    whitening = Whitening(Normalization([0.5], [0.25]), torch.ones(2), torch.tensor([[1.0, 2.0], [2.0, 5.0]]), None)
    assert whitening(torch.tensor([[[0.5, 1.0]]])).flatten().tolist() == pytest.approx([1.0, 3.0])


@BOTH
@pytest.mark.parametrize("leading", [(), (7,), (2, 3), (1, 2, 1)])
def test_leading_dimensions_and_there_and_back(make, leading):
    transform, pixels = make(), _pixels(*leading)
    prepared = transform(pixels)
    assert prepared.shape == pixels.shape
    assert prepared.dtype == torch.float32
    one_by_one = torch.stack([transform(image) for image in pixels.reshape(-1, *SHAPE)]).view(pixels.shape)
    torch.testing.assert_close(prepared, one_by_one)
    torch.testing.assert_close(transform.inverse(prepared), pixels.float() / 255, atol=1e-4, rtol=1e-4)


@BOTH
def test_bytes_and_floats_agree(make):
    pixels = _pixels(4)
    assert torch.equal(make()(pixels), make()(pixels.float() / 255))


@BOTH
def test_nothing_is_clipped_or_changed_in_place(make):
    images = torch.full((2, *SHAPE), 3.0)
    images[1] = -2.0
    torch.testing.assert_close(make().inverse(make()(images)), images, atol=1e-3, rtol=1e-3)
    assert images.unique().tolist() == [-2.0, 3.0]


@BOTH
def test_any_memory_layout(make):
    pixels = _pixels(4)
    channels_last = pixels.to(memory_format=torch.channels_last)
    torch.testing.assert_close(make()(channels_last), make()(pixels))
    prepared = make()(pixels)
    torch.testing.assert_close(make().inverse(prepared.to(memory_format=torch.channels_last)), make().inverse(prepared))


def test_one_object_serves_several_types():
    transform, images = _normalization(), torch.rand(2, *SHAPE)
    single, double = transform(images), transform(images.double())
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    exact = torch.tensor(MEAN, dtype=torch.float64).view(3, 1, 1), torch.tensor(STD, dtype=torch.float64).view(3, 1, 1)
    torch.testing.assert_close(double, (images.double() - exact[0]) / exact[1], atol=1e-14, rtol=0)
    assert torch.equal(transform(images), single)


@BOTH
def test_gradients_after_inference_mode(make):
    transform = make()
    with torch.inference_mode():
        transform(torch.rand(1, *SHAPE))
    images = torch.rand(1, *SHAPE, requires_grad=True)
    transform.inverse(transform(images)).sum().backward()
    torch.testing.assert_close(images.grad, torch.ones_like(images), atol=1e-3, rtol=1e-3)


def test_whitening_to_a_device_is_the_same_transform():
    whitening = _whitening()
    moved = whitening.to("cpu")
    assert torch.equal(moved(_pixels(2)), whitening(_pixels(2)))
    assert whitening.to("meta").matrix.device.type == "meta"


def test_descriptions_and_digests():
    normalization, whitening = _normalization(), _whitening()
    assert normalization.normalization is normalization
    assert normalization.describe() == {"mean": MEAN, "std": STD}
    assert normalization.digest() is None
    assert whitening.describe() == {"mean": MEAN, "std": STD, "whitening": whitening.digest()}
    hashed = hashlib.sha256()  # the names of files depend on it
    for name in ("center", "inverse_matrix", "matrix"):
        hashed.update(name.encode() + getattr(whitening, name).contiguous().numpy().tobytes())
    assert whitening.digest() == hashed.hexdigest()[:16]


def test_whitening_is_exact_under_autocast():
    whitening, images = _whitening(), torch.rand(2, 3, 4, 5)
    exact = whitening(images)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(whitening(images), exact)
        assert torch.equal(whitening.inverse(exact), whitening.inverse(exact.clone()))
        assert whitening.inverse(exact).dtype == torch.float32


@BOTH
def test_images_in_double_precision(make):
    found = make()(as_unit_floats(_pixels(2)).double())
    assert found.dtype == torch.float64
    assert torch.allclose(found, make()(_pixels(2)).double(), atol=1e-5)
    assert torch.allclose(make().inverse(found), as_unit_floats(_pixels(2)).double(), atol=1e-5)
