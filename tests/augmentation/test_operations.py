"""Each operation against an independent one, written from the formulas of the paper's code."""

import math

import pytest
import torch
import torch.nn.functional as F
from kornia.geometry.transform import warp_affine

from lightning_dd.augmentation.operations import NUM_UNIFORMS, OPERATIONS

SHAPES = [(3, 32, 32), (1, 28, 28), (1, 8, 8), (3, 9, 14)]


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _random(name, groups, per_group, images_per_group, shape, dtype=torch.float64):
    operation = OPERATIONS[name]()
    images = torch.randn(groups, images_per_group, *shape, generator=_generator(), dtype=dtype)
    uniforms = torch.rand(groups, per_group, NUM_UNIFORMS, generator=_generator(1))
    return operation, images, operation.parameters(uniforms, shape[1:]), uniforms


def _reference_color(image, u):
    image = image + (u[0] - 0.5)
    mean = image.mean(0, keepdim=True)
    image = (image - mean) * (2 * u[1]) + mean
    mean = image.mean()
    return (image - mean) * (u[2] + 0.5) + mean


def _reference_crop(image, u):
    _, height, width = image.shape
    sy, sx = int(0.125 * height + 0.5), int(0.125 * width + 0.5)
    dy, dx = math.floor(u[0] * (2 * sy + 1)) - sy, math.floor(u[1] * (2 * sx + 1)) - sx
    out = torch.zeros_like(image)
    for y in range(height):
        for x in range(width):
            if 0 <= y + dy < height and 0 <= x + dx < width:
                out[:, y, x] = image[:, y + dy, x + dx]
    return out


def _reference_cutout(image, u):
    out = image.clone()
    ranges = []
    for size, number in zip(image.shape[1:], u[:2], strict=True):
        side = int(0.5 * size + 0.5)
        center = math.floor(number * (size + 1 - side % 2))
        ranges.append([i for i in range(center - side // 2, center - side // 2 + side) if 0 <= i < size])
    for y in ranges[0]:
        for x in ranges[1]:
            out[:, y, x] = 0
    return out


def _reference_flip(image, u):
    return torch.stack([image[:, :, x] for x in reversed(range(image.shape[2]))], -1) if u[0] < 0.5 else image


def _grid_sample(image, theta):
    grid = F.affine_grid(theta[None].to(image), [1, *image.shape], align_corners=True)
    return F.grid_sample(image[None], grid, align_corners=True)[0]


def _reference_scale(image, u):
    sx, sy = (1 / 1.2 + number * (1.2 - 1 / 1.2) for number in u[:2])
    return _grid_sample(image, torch.tensor([[sx, 0, 0], [0, sy, 0]]))


def _reference_rotate(image, u):
    a = math.radians((2 * u[0] - 1) * 15)
    theta = torch.tensor([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0]])
    _, height, width = image.shape
    if height != width:  # the grid is in units of half sides: go to pixels, turn, and come back
        half = torch.diag(torch.tensor([(width - 1) / 2, (height - 1) / 2]))
        theta[:, :2] = half.inverse() @ theta[:, :2] @ half
    return _grid_sample(image, theta)


REFERENCES = {name: globals()[f"_reference_{name}"] for name in OPERATIONS}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("per_image", [False, True])
@pytest.mark.parametrize("groups", [1, 5])
def test_equals_reference(name, shape, per_image, groups):
    operation, images, values, uniforms = _random(name, groups, 4 if per_image else 1, 4, shape)
    result = operation.apply_transform(images, {"values": values})
    assert result.shape == images.shape
    for k in range(groups):
        for n in range(4):
            expected = REFERENCES[name](images[k, n], uniforms[k, n if per_image else 0].tolist())
            exact = name in ("crop", "cutout", "flip")
            # parameters are float32
            torch.testing.assert_close(result[k, n], expected, atol=0 if exact else 1e-5, rtol=0 if exact else 1e-5)


@pytest.mark.parametrize("shape", [(3, 6, 6), (1, 4, 7)])
@pytest.mark.parametrize("per_group", [1, 2])
@pytest.mark.parametrize("name", OPERATIONS)
def test_gradcheck(name, per_group, shape):
    operation, images, values, _ = _random(name, 2, per_group, 2, shape)
    images.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: operation.apply_transform(x, {"values": values}), images, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", OPERATIONS)
def test_dtype_is_kept_and_input_untouched(name, dtype):
    operation, images, values, _ = _random(name, 2, 1, 3, (3, 8, 8), dtype)
    before = images.clone()
    result = operation.apply_transform(images, {"values": values})
    assert result.dtype == dtype
    assert torch.equal(images, before)
    exact = operation.apply_transform(images.double(), {"values": values})
    tolerance = {torch.float32: 1e-4, torch.float64: 0, torch.bfloat16: 0.1}[dtype]
    torch.testing.assert_close(result.double(), exact, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("name", ["scale", "rotate"])
def test_samples_are_where_they_belong_under_autocast(name):
    operation, images, values, _ = _random(name, 1, 1, 3, (3, 64, 64), torch.float32)
    exact = operation.apply_transform(images, {"values": values})
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(operation.apply_transform(images, {"values": values}), exact)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 5, 8)])
@pytest.mark.parametrize("name", ["crop", "flip", "scale", "rotate"])
def test_matrix_says_the_same_as_the_transform(name, shape):
    operation, images, values, _ = _random(name, 1, 6, 6, shape)
    matrix = operation.compute_transformation(images[0], {"values": values[0]}, {})
    warped = warp_affine(images[0], matrix[:, :2], shape[1:], align_corners=True)
    torch.testing.assert_close(operation.apply_transform(images, {"values": values})[0], warped, atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", OPERATIONS)
def test_kornia_call_with_explicit_parameters(name):
    operation, images, values, _ = _random(name, 1, 4, 4, (3, 8, 8), torch.float32)
    state = torch.get_rng_state()
    result = operation(images[0], params={"values": values[0]})
    torch.testing.assert_close(result, operation.apply_transform(images, {"values": values})[0])
    assert torch.equal(state, torch.get_rng_state())


LAST = 1 - 2**-24  # the largest number torch.rand gives in float32


@pytest.mark.parametrize(
    ("name", "size", "lowest", "highest"),
    [
        ("color", (32, 32), [-0.5, 0, 0.5], [0.5, 2, 1.5]),
        ("crop", (32, 32), [-4, -4], [4, 4]),
        ("crop", (28, 64), [-4, -8], [4, 8]),
        ("crop", (8, 8), [-1, -1], [1, 1]),
        ("cutout", (32, 28), [0, 0], [32, 28]),
        ("cutout", (10, 8), [0, 0], [9, 8]),  # side 5 is odd
        ("flip", (32, 32), [1], [0]),
        ("scale", (32, 32), [1 / 1.2, 1 / 1.2], [1.2, 1.2]),
        ("rotate", (32, 32), [-math.pi / 12], [math.pi / 12]),
    ],
)
def test_ranges(name, size, lowest, highest):
    operation = OPERATIONS[name]()
    for number, expected in ((0.0, lowest), (LAST, highest)):
        values = operation.parameters(torch.full((3,), number), size)[: len(expected)]
        torch.testing.assert_close(values, torch.tensor(expected, dtype=torch.float32))


@pytest.mark.parametrize(("name", "count"), [("crop", 9), ("cutout", 33)])
def test_whole_numbers_are_equally_likely(name, count):
    uniforms = torch.rand(count * 400, NUM_UNIFORMS, generator=_generator())
    values = OPERATIONS[name]().parameters(uniforms, (32, 32))
    for axis in range(2):
        counts = values[:, axis].unique(return_counts=True)[1]
        assert len(counts) == count
        assert (counts - 400).abs().max() < 100  # 5 standard deviations


@pytest.mark.parametrize("size", [28, 32, 64])
def test_published_sides(size):
    ones = torch.ones(1, 1, size, size)
    cut = OPERATIONS["cutout"]().apply_transform(ones, {"values": torch.tensor([[size // 2, size // 2, 0.0]])})
    assert (cut == 0).sum() == {28: 14, 32: 16, 64: 32}[size] ** 2
