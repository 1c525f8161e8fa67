"""The picture for people: where each pixel goes."""

import pytest
import torch
from PIL import Image

from lightning_dd.artifact import picture
from lightning_dd.artifact.picture import page_of, save_picture
from lightning_dd.errors import UserError


def _pixel(path, images, gap, columns, index, margin_pixels=0):
    """The color in the middle of one image of a saved picture, as a person would measure it."""
    height, width = images.shape[-2:]
    with Image.open(path) as page:
        rows = -(-len(images) // columns)
        scale_x = (page.width - margin_pixels) / (columns * (width + gap) + gap)
        scale_y = page.height / (rows * (height + gap) + gap)
        x = margin_pixels + (gap + (index % columns) * (width + gap) + width / 2) * scale_x
        y = (gap + (index // columns) * (height + gap) + height / 2) * scale_y
        return page.convert("RGB").getpixel((int(x), int(y)))


def _flat(values, size=(8, 8)):
    """One-channel images of one gray each."""
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 1, *size)


def test_page_by_hand():
    # three images of 1x2 pixels in two columns with a gap of one: 5 rows (. A . C .) and 7 columns (. AA . BB .)
    images = torch.tensor([[[[0.1, 0.2]]], [[[0.3, 0.4]]], [[[0.5, 0.6]]]])
    expected = torch.tensor(
        [
            [1, 1, 1, 1, 1, 1, 1],
            [1, 0.1, 0.2, 1, 0.3, 0.4, 1],
            [1, 1, 1, 1, 1, 1, 1],
            [1, 0.5, 0.6, 1, 1, 1, 1],
            [1, 1, 1, 1, 1, 1, 1],
        ]
    )
    assert torch.equal(page_of(images, columns=2), expected.expand(3, -1, -1))  # gray to RGB


def test_page_of_one_image_is_clipped_and_has_its_border():
    image = torch.tensor([-0.5, 0.25, 1.5], requires_grad=True).view(1, 3, 1, 1)
    page = page_of(image, columns=5, gap=2)
    assert page.shape == (3, 5, 5)
    assert page[:, 2, 2].tolist() == [0.0, 0.25, 1.0]
    assert page.sum() == 3 * 24 + 1.25


def test_one_image_a_class(tmp_path):
    names = tuple(f"class {index}" for index in range(23))
    grays = [index / 23 for index in range(23)]
    labels = torch.arange(22, -1, -1)  # in any order: the picture sorts by class
    save_picture(tmp_path / "a.png", _flat(grays[::-1]), labels, names)
    for index in range(23):
        gray = _pixel(tmp_path / "a.png", _flat(grays), gap=2, columns=10, index=index)
        assert gray == pytest.approx([255 * grays[index]] * 3, abs=2)


@pytest.mark.parametrize(("shape", "number"), [((1, 28, 28), 10), ((3, 9, 14), 4), ((3, 8, 8), 1)])
def test_one_image_a_class_is_readable(shape, number, tmp_path):
    images = torch.rand(number, *shape)
    save_picture(tmp_path / "a.png", images, torch.arange(number), tuple("abcdefghij"[:number]))
    with Image.open(tmp_path / "a.png") as page:
        assert page.format == "PNG"
        page.load()
        # 90 pixels and a gap wider for each, and as high as the images ask for
        assert page.width >= 90 * min(number, 10)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_a_row_for_each_class(tmp_path):
    grays = [0.1, 0.2, 0.3, 0.5, 0.6, 0.7]
    save_picture(tmp_path / "a.png", _flat(grays), torch.tensor([0, 0, 0, 1, 1, 1]), ("cat", "dog"))
    for index, gray in enumerate(grays):
        pixel = _pixel(tmp_path / "a.png", _flat(grays), gap=1, columns=3, index=index, margin_pixels=140)
        assert pixel == pytest.approx([255 * gray] * 3, abs=2)


def test_at_most_ten_of_a_class(tmp_path):
    grays = [index / 30 for index in range(30)]
    save_picture(tmp_path / "a.png", _flat(grays), torch.arange(2).repeat_interleave(15), ("cat", "dog"))
    shown = grays[:10] + grays[15:25]
    for index, gray in enumerate(shown):
        pixel = _pixel(tmp_path / "a.png", _flat(shown), gap=1, columns=10, index=index, margin_pixels=140)
        assert pixel == pytest.approx([255 * gray] * 3, abs=2)


@pytest.mark.parametrize(("labels", "rows"), [([0, 0, 0, 2, 2, 1], [3, 1, 2]), ([0, 2, 2], [1, 0, 2])])
def test_classes_of_unequal_size_keep_their_rows(labels, rows, tmp_path):
    """The arg-max of learned labels may leave a class with fewer images, or with none."""
    save_picture(tmp_path / "a.png", _flat([0.0] * len(labels)), torch.tensor(labels), ("a", "b", "c"))
    columns = max(rows)
    for index in range(3 * columns):
        filled = index % columns < rows[index // columns]
        pixel = _pixel(tmp_path / "a.png", _flat([0.0] * 3 * columns), 1, columns, index, margin_pixels=140)
        assert pixel == ((0, 0, 0) if filled else (255, 255, 255))


def test_names_are_not_formulas(tmp_path):
    save_picture(tmp_path / "a.png", torch.rand(2, 1, 8, 8), torch.arange(2), ("$\\nonsense$", "a_b$"))
    save_picture(tmp_path / "b.png", torch.rand(4, 1, 8, 8), torch.tensor([0, 0, 1, 1]), ("$\\nonsense$", "a_b$"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_many_classes_are_drawn_smaller(tmp_path, monkeypatch):
    """Matplotlib refuses a side of 2^16 pixels, which 1000 classes in rows would have."""
    assert picture.LONGEST < 2**16
    monkeypatch.setattr(picture, "LONGEST", 500)
    save_picture(tmp_path / "a.png", torch.rand(40, 1, 2, 2), torch.arange(20).repeat_interleave(2), ("name",) * 20)
    with Image.open(tmp_path / "a.png") as page:
        assert 490 <= page.height <= 500


def test_no_room(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match="Cannot write"):
        save_picture(tmp_path / "file" / "a.png", torch.rand(1, 1, 8, 8), torch.arange(1), ("a",))
