"""DC's augmentation, each operation against an independent one and in the words of methods.md 4.2."""

import math

import pytest
import torch
from scipy import ndimage

from lightning_dd.augmentation.dc import OPERATIONS, DCAugmentation
from lightning_dd.errors import UserError

SHAPES = [(3, 12, 12), (1, 8, 8), (3, 8, 21), (1, 21, 8), (2, 9, 14)]
DRAWS = 60


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _apply(name, image, mean, seed):
    return OPERATIONS[name](image, mean, _generator(seed))


def _image(shape):
    """An image without equal pixels, none of them 0 or the fill."""
    return 1 + torch.rand(shape, generator=_generator(9), dtype=torch.float64)


def _mean(shape):
    return torch.arange(1, shape[0] + 1, dtype=torch.float64).view(-1, 1, 1) * -10


def _shifted(image, mean, dy, dx):
    _, height, width = image.shape
    out = mean.expand(image.shape).clone()
    for y in range(height):
        for x in range(width):
            if 0 <= y + dy < height and 0 <= x + dx < width:
                out[:, y, x] = image[:, y + dy, x + dx]
    return out


@pytest.mark.parametrize("shape", SHAPES)
def test_crop(shape):
    """Every result is one of the 8 x 8 shifts of -4 to 3 pixels, filled with the channels' means."""
    image, mean = _image(shape), _mean(shape)
    shifts = {(dy, dx): _shifted(image, mean, dy, dx) for dy in range(-6, 7) for dx in range(-6, 7)}
    seen = set()
    for seed in range(DRAWS):
        out = _apply("crop", image, mean, seed)
        found = [shift for shift, expected in shifts.items() if torch.equal(out, expected)]
        assert len(found) == 1
        seen.add(found[0])
    assert {dy for dy, _ in seen} == {dx for _, dx in seen} == set(range(-4, 4))  # offsets 0 to 7, never 8
    assert len(seen) > 25  # the two are drawn apart


def _resized(image, height, width):
    """Nearest neighbor in the middle of a square page of zeros, and the middle of that; halves are rounded down."""
    _, rows, columns = image.shape
    side = max(height, width, rows, columns)
    down, right = (side - rows) // 2 - (side - height) // 2, (side - columns) // 2 - (side - width) // 2
    out = torch.zeros_like(image)
    for y in range(rows):
        for x in range(columns):
            if 0 <= y + down < height and 0 <= x + right < width:
                out[:, y, x] = image[:, (y + down) * rows // height, (x + right) * columns // width]
    return out


@pytest.mark.parametrize("shape", SHAPES)
def test_scale(shape):
    image, mean = _image(shape), _mean(shape)
    _, height, width = shape
    sizes = {
        (h, w): _resized(image, h, w)
        for h in range(int(0.8 * height), math.ceil(1.2 * height))
        for w in range(int(0.8 * width), math.ceil(1.2 * width))
    }
    seen = set()
    for seed in range(DRAWS):
        out = _apply("scale", image, mean, seed)
        found = [size for size, expected in sizes.items() if torch.equal(out, expected)]
        assert found, f"seed {seed} is no resized image"
        seen.update(found)
    for index in (0, 1):
        lengths = {size[index] for size in seen}
        assert min(lengths) < shape[index + 1] < max(lengths)
    assert len(seen) > len({h for h, _ in seen})  # height and width are drawn apart


@pytest.mark.parametrize("shape", [(3, 12, 12), (1, 8, 8), (2, 9, 9)])
def test_rotate(shape):
    """Whole angles in [-45, 45) with SciPy's splines; the rotated page is larger and its center is kept."""
    image, mean = _image(shape), _mean(shape)
    _, height, width = shape
    angles = {}
    for angle in range(-46, 47):
        planes = []
        for plane, fill in zip(image.numpy(), mean.flatten().tolist(), strict=True):
            page = ndimage.rotate(plane, angle, axes=(-2, -1), order=3, mode="constant", cval=fill)
            top, left = (page.shape[0] - height) // 2, (page.shape[1] - width) // 2
            planes.append(torch.from_numpy(page[top : top + height, left : left + width].copy()))
        angles[angle] = torch.stack(planes)
    seen = set()
    for seed in range(3 * DRAWS):
        out = _apply("rotate", image, mean, seed)
        found = [angle for angle, expected in angles.items() if torch.equal(out, expected)]
        assert len(found) == 1
        seen.add(found[0])
    assert -45 <= min(seen) < -40
    assert 40 < max(seen) < 45
    assert len(seen) > 60


@pytest.mark.parametrize("turned", [False, True])
def test_rotate_where_height_and_width_differ(turned):
    """A turned page is narrower than a long image: what is missing is filled with the mean."""
    shape = (2, 40, 8) if turned else (2, 8, 40)
    image, mean = _image(shape), _mean(shape)
    steep = 0
    for seed in range(DRAWS):
        out = _apply("rotate", image, mean, seed)
        assert out.shape == image.shape
        assert (out[:, shape[1] // 2, shape[2] // 2] > 0.5).all()  # the center stays inside the image
        angle = int(torch.randint(-45, 45, (1,), generator=_generator(seed)))
        if abs(angle) > 35:  # 40 cos 35 + 8 sin 35 = 37.4
            steep += 1
            edge = out[:, 0] if turned else out[:, :, 0]
            assert torch.equal(edge, mean[..., 0].expand_as(edge))
    assert steep > 3


@pytest.mark.parametrize("shape", SHAPES)
def test_noise(shape):
    image, mean = _image(shape), _mean(shape)
    difference = torch.stack([_apply("noise", image, mean, seed) - image for seed in range(DRAWS)])
    assert difference.std() == pytest.approx(0.001, rel=0.05)
    assert abs(difference.mean()) < 1e-4
    assert len(difference.unique()) > 0.99 * difference.numel()  # each pixel its own


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_operation(name, dtype):
    images = torch.randn(4, 3, 8, 11, generator=_generator()).to(dtype)
    before = images.clone()
    out = DCAugmentation(name)(images, _generator(1))
    assert out.shape == images.shape
    assert out.dtype == dtype
    assert torch.equal(images, before)
    assert not torch.equal(out, images)


def test_each_image_has_its_own_draw():
    images = torch.rand(1, 1, 8, 8, generator=_generator()).expand(64, -1, -1, -1)
    augmented = DCAugmentation("crop")(images, _generator(1))
    assert len(augmented.unique(dim=0)) > 32  # out of 64 shifts


def test_each_image_has_its_own_operation():
    """Noise is tiny, and a crop moves edges: they are told apart by the largest change."""
    image = torch.ones(1, 8, 8)
    image[:, 2:6, 2:6] = 0.25
    images = image.expand(300, -1, -1, -1)
    out = DCAugmentation("crop_noise")(images, _generator(1))
    noisy = (out - images).abs().flatten(1).amax(1) < 0.01
    exact = (out == images).flatten(1).all(1)  # a crop by nothing
    noisy &= ~exact
    assert 110 < int(noisy.sum()) < 190


def test_fill_is_the_mean_of_the_batch():
    images = torch.rand(32, 3, 8, 8, generator=_generator()) + torch.tensor([0.0, 10.0, 20.0]).view(3, 1, 1)
    mean = images.double().mean((0, 2, 3)).tolist()
    out = DCAugmentation("crop")(images, _generator(1))
    present = {channel: set(images[:, channel].flatten().tolist()) for channel in range(3)}
    for channel in range(3):
        fills = {value for value in out[:, channel].flatten().tolist() if value not in present[channel]}
        assert len(fills) == 1
        assert fills.pop() == pytest.approx(mean[channel], abs=1e-4)


def test_depends_on_the_generator_alone():
    images = torch.randn(8, 1, 8, 8, generator=_generator())
    augment = DCAugmentation("crop_scale_rotate_noise")
    state = torch.get_rng_state()
    first = augment(images, _generator(1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(augment(images, _generator(1)), first)
    assert not torch.equal(augment(images, _generator(2)), first)


def test_unknown_operation():
    with pytest.raises(UserError, match=r"'flip'.*crop, scale, rotate, noise"):
        DCAugmentation("crop_flip")
    with pytest.raises(UserError):
        DCAugmentation("")
