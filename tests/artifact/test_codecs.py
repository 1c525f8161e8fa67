"""Codecs: what is stored, what is decoded, and that a file restores it."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lightning_dd.artifact.codecs import Codec, Frequencies, Pixels, Tiles, cosine_transform, restore
from lightning_dd.errors import UserError

SHAPE = (2, 6, 8)
FACTORIES = {
    "pixels": Pixels,
    "tiles": Tiles,
    "uneven tiles": lambda *shape: Tiles(*shape, factor=3),
    "frequencies": lambda *shape: Frequencies(*shape, keep=7),
}
EACH = pytest.mark.parametrize("make", FACTORIES.values(), ids=FACTORIES)


class Half(Codec):
    """A stranger's codec: half the resolution."""

    def __init__(self, num_classes, ipc, image_shape):
        super().__init__(num_classes, ipc, image_shape)
        channels, height, width = image_shape
        self.images_per_class = 4 * ipc
        self.images = nn.Parameter(torch.zeros(len(self), channels, height // 2, width // 2))

    def encode(self, images):
        return F.avg_pool2d(images, 2)

    def decode(self, rows=None):
        small = self.images if rows is None else self.images[rows]
        return F.interpolate(small, self.image_shape[1:], mode="bilinear")


def _images(codec, seed=0, dtype=torch.float32):
    shape = len(codec), *codec.image_shape
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@EACH
def test_budget_and_numbers(make):
    codec = make(3, 2, SHAPE)
    assert codec.images.count_nonzero() == 0
    assert codec.budget() == codec.images.numel() <= 3 * 2 * 2 * 6 * 8
    assert len(codec) == 3 * codec.images_per_class
    assert codec.decode().shape == (len(codec), *SHAPE)


def test_images_per_class():
    assert [make(3, 2, SHAPE).images_per_class for make in FACTORIES.values()] == [2, 8, 18, 13]
    assert Frequencies(1, 1, (3, 32, 32)).images_per_class == 16  # FreD's setting for one image a class


@EACH
def test_rows_are_those_of_all(make):
    codec = make(3, 2, SHAPE)
    codec.start(_images(codec))
    rows = torch.tensor([5, 0, 5, len(codec) - 1])
    torch.testing.assert_close(codec.decode(rows), codec.decode()[rows])


@EACH
def test_gradients(make):
    codec = make(1, 1, (1, 5, 5)).double()
    codec.start(_images(codec, dtype=torch.float64))
    rows = torch.tensor([len(codec) - 1, 0, 0])

    def decoded(images):
        return torch.func.functional_call(codec, {"images": images}, (), {"rows": rows})

    codec.forward = codec.decode
    assert torch.autograd.gradcheck(decoded, codec.images)


@EACH
def test_flat_images_come_back_in_their_places(make):
    codec = make(3, 2, SHAPE)
    levels = torch.linspace(-1, 1, len(codec)).view(-1, 1, 1, 1).expand(-1, *SHAPE)
    codec.start(levels)
    whole = slice(None) if codec.options != {"factor": 3} else 0  # whose last tiles are padded
    torch.testing.assert_close(codec.decode()[..., whole], levels[..., whole])


def test_pixels_are_the_images():
    codec = Pixels(3, 2, SHAPE)
    images = _images(codec)
    codec.start(images)
    assert codec.decode() is codec.images
    assert torch.equal(codec.images, images)
    codec.start_noise(torch.Generator().manual_seed(4))
    assert torch.equal(codec.images, torch.randn(codec.images.shape, generator=torch.Generator().manual_seed(4)))


def test_tiles_by_hand():
    # two classes, one stored image of 4x6 pixels each: four tiles of 2x3, row by row
    codec = Tiles(2, 1, (1, 4, 6))
    codec.images.data = torch.arange(48.0).view(2, 1, 4, 6)
    corners = [[0, 0], [0, 3], [2, 0], [2, 3]]
    expected = torch.cat(
        [
            F.interpolate(codec.images[c : c + 1, :, y : y + 2, x : x + 3], (4, 6), mode="bilinear")
            for c in range(2)
            for y, x in corners
        ]
    )
    torch.testing.assert_close(codec.decode(), expected)


def test_tiles_are_means_of_areas():
    codec = Tiles(1, 2, (1, 4, 4))
    images = _images(codec)
    codec.start(images)
    small = images.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    for tile, (image, y, x) in enumerate((i, y, x) for i in (0, 1) for y in (0, 2) for x in (0, 2)):
        torch.testing.assert_close(codec.images[image, :, y : y + 2, x : x + 2], small[tile])


def test_tiles_of_sides_that_the_factor_does_not_divide():
    # 5x7 by 3: tiles of 2x3, of which the last have one row and one column
    codec = Tiles(1, 1, (1, 5, 7), factor=3)
    codec.start(torch.arange(1.0, 10).view(9, 1, 1, 1).expand(-1, 1, 5, 7))
    assert codec.images[0, 0, :, 0].tolist() == [1, 1, 4, 4, 7]
    assert codec.images[0, 0, 0].tolist() == [1, 1, 1, 2, 2, 2, 3]
    decoded = codec.decode()
    torch.testing.assert_close(decoded[4], torch.full((1, 5, 7), 5.0))
    assert decoded[8].max() == 9
    assert decoded[8].min() == 0  # padding


@pytest.mark.parametrize("factor", [0, 4, 7])
def test_too_many_tiles(factor):
    with pytest.raises(UserError, match=f"images of 6x8 pixels by a factor of {factor}"):
        Tiles(1, 1, SHAPE, factor=factor)


def test_cosine_transform_by_its_definition():
    matrix = cosine_transform(5).double()
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(5, dtype=torch.float64), atol=1e-6, rtol=0)
    assert matrix[0].tolist() == pytest.approx([5**-0.5] * 5)
    assert matrix[2, 1].item() == pytest.approx((2 / 5) ** 0.5 * torch.tensor(torch.pi * 2 * 1.5 / 5).cos().item())


def test_frequencies_keep_what_varies_most_in_each_class():
    codec = Frequencies(2, 1, (1, 4, 4), keep=2)
    rows = cosine_transform(4)
    waves = [rows[a].view(-1, 1) * rows[b] for a, b in ((3, 1), (2, 2), (0, 3), (1, 0))]
    first = torch.stack([sign * (3 * waves[0] + 2 * waves[1]) + 50 * waves[2] for sign in (-1, 1)])
    second = torch.stack([sign * (waves[2] + 2 * waves[3]) for sign in (-1, 1)])
    codec.fit(torch.stack([first, second], 1).flatten(0, 1).unsqueeze(1), torch.tensor([0, 1, 0, 1]))
    assert codec.positions.tolist() == [[10, 13], [3, 4]]
    images = torch.cat([first[:1], second[:1]]).repeat_interleave(8, 0).unsqueeze(1)
    codec.start(images)
    wanted = torch.cat([first[:1] - 50 * waves[2], second[:1]]).repeat_interleave(8, 0).unsqueeze(1)
    torch.testing.assert_close(codec.decode(), wanted)
    codec.fit(first.unsqueeze(1))
    assert codec.positions.tolist() == [[10, 13], [10, 13]]


def test_all_frequencies_are_the_image():
    codec = Frequencies(2, 3, SHAPE, keep=48)
    images = _images(codec)
    codec.start(images)
    torch.testing.assert_close(codec.decode(), images)
    torch.testing.assert_close(codec.images.square().sum(), images.square().sum())  # orthonormal
    with torch.autocast("cpu"):
        assert codec.decode().dtype == torch.float32


def test_keep_out_of_range():
    with pytest.raises(UserError, match="1 to 48 of 6x8 pixels, not 49"):
        Frequencies(1, 1, SHAPE, keep=49)


@pytest.mark.parametrize("make", [*FACTORIES.values(), Half])
def test_restored(make):
    codec = make(3, 2, SHAPE)
    codec.fit(torch.rand(4, *SHAPE))
    codec.start_noise(torch.Generator().manual_seed(1))
    again = restore(codec.describe(), codec.state_dict())
    assert type(again) is type(codec)
    assert torch.equal(again.decode(), codec.decode())
    with pytest.raises(RuntimeError):
        restore({**codec.describe(), "num_classes": 4}, codec.state_dict())


def test_a_class_that_was_not_imported():
    description = {**Half(3, 2, SHAPE).describe(), "kind": "Elsewhere"}
    with pytest.raises(UserError, match="codec Elsewhere, which this program lacks; import its class first"):
        restore(description, {})
