import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, TensorDataset

from lightning_dd.data import FromDataset
from lightning_dd.errors import UserError


def pairs(images, labels=None):
    class Pairs(Dataset):
        def __len__(self):
            return len(images)

        def __getitem__(self, index):
            return images[index], (labels or [0, 1] * len(images))[index]

    return Pairs()


def loaded(images, labels=None, **options):
    data = FromDataset(pairs(images, labels), pairs(images, labels), **options)
    data.setup()
    return data


def test_pillow_images():
    color = loaded([Image.new("RGB", (4, 6), (1, 2, 3)), Image.new("RGB", (4, 6), (4, 5, 6))])
    assert color.image_shape == (3, 6, 4)
    assert color.train_images[1, :, 0, 0].tolist() == [4, 5, 6]
    assert loaded([Image.new("L", (4, 6), 9)] * 2).image_shape == (1, 6, 4)


@pytest.mark.parametrize("kind", ["tensor", "flat tensor", "array", "flat array"])
def test_bytes(kind):
    image = torch.arange(24, dtype=torch.uint8).view(1, 6, 4)
    given = {
        "tensor": image,
        "flat tensor": image[0],
        "array": image.permute(1, 2, 0).numpy(),
        "flat array": image[0].numpy(),
    }[kind]
    data = loaded([given] * 2)
    assert data.train_images.dtype == torch.uint8
    assert torch.equal(data.train_images[1], image)


def test_floats_keep_their_precision():
    images = torch.rand(4, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    data = loaded(list(images))
    assert torch.equal(data.train_images, images)
    normalized = (images - torch.tensor(data.preprocessing.mean).view(3, 1, 1)) / torch.tensor(
        data.preprocessing.std
    ).view(3, 1, 1)
    torch.testing.assert_close(data.real_images(torch.arange(4)), normalized)


def test_floats_that_were_bytes_are_stored_as_bytes():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    data = loaded([levels.float().div(255)] * 2)
    assert torch.equal(data.train_images[0], levels)


def test_names_and_labels():
    images = [torch.zeros(1, 2, 2)] * 4
    assert loaded(images, [0, 1, 2, 0]).class_names == ("0", "1", "2")
    assert loaded(images, [0, 1, 2, 0], class_names=["a", "b", "c"], name="mine").name == "mine"
    dataset = pairs(images, [np.int64(1), torch.tensor(0), 1, 0])
    dataset.classes = ["x", "y"]
    data = FromDataset(dataset)
    assert data.class_names == ("x", "y")


def test_folders_called_by_numbers_are_the_classes_of_these_numbers(tmp_path):
    for number in range(12):
        (tmp_path / str(number)).mkdir()
        Image.new("L", (2, 2), 20 * number).save(tmp_path / str(number) / "a.png")
    data = FromDataset(pairs([torch.zeros(1, 2, 2)] * 12, list(range(12))), tmp_path)
    images, labels = data.load("test")
    assert torch.equal(images[:, 0, 0, 0].long(), 20 * labels)


def test_labels_may_be_a_list_beside_an_array():
    images = torch.rand(2, 1, 2, 2)
    assert FromDataset((images, [1, 0]), test_fraction=0).load("train")[1].tolist() == [1, 0]
    assert FromDataset((images, ["b", "a"]), test_fraction=0).class_names == ("a", "b")


def test_what_cannot_be_indexed():
    with pytest.raises(UserError, match="cannot be indexed: give a Dataset"):
        FromDataset(DataLoader(TensorDataset(torch.zeros(2, 1, 2, 2))))


def test_test_part_is_split_off_where_none_is_given():
    images = torch.arange(20).view(20, 1, 1, 1).expand(20, 1, 2, 2).to(torch.uint8)
    data = FromDataset(TensorDataset(images, torch.arange(20) % 2), test_fraction=0.3)
    data.setup()
    assert data.test_labels.bincount().tolist() == [3, 3]
    both = torch.cat([data.train_images, data.test_images])[:, 0, 0, 0]
    assert both.sort().values.tolist() == list(range(20))


GOOD = torch.zeros(1, 2, 2)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        ([GOOD, GOOD - 0.5], None, r"floats from -0\.5 to 0: give them in \[0, 1\]"),
        ([GOOD, GOOD + 255], None, "floats from 0 to 255"),
        ([GOOD, GOOD * float("nan")], None, "NaN"),
        (
            [GOOD, torch.zeros(1, 3, 2)],
            None,
            "item 1 of the train data set is 3x2 pixels while the first is 2x2: set image_size",
        ),
        ([GOOD, GOOD.to(torch.uint8)], None, "item 1 .* while the first"),
        ([GOOD.long()], None, "give uint8, or floats"),
        ([torch.zeros(2, 2, 4)], None, r"shape \(2, 2, 4\)"),
        (["text"], None, "is a str"),
        ([GOOD], [-1], "label of item 0 .* is -1"),
        ([GOOD], [0.5], r"label of item 0 .* is 0\.5"),
        ([GOOD, GOOD], ["cat", 0], "label of item 0 .* is 'cat'"),
        ([], None, "empty"),
    ],
)
def test_what_cannot_be_used(images, labels, message):
    with pytest.raises(UserError, match=message):
        FromDataset(pairs(images, labels))


def test_items_that_are_no_pairs():
    with pytest.raises(UserError, match=r"item 0 .* not an \(image, label\) pair"):
        FromDataset([GOOD[0, 0, 0]])


def test_parts_of_different_shape():
    with pytest.raises(UserError, match=r"\(1, 2, 2\) but test images are \(3, 2, 2\)"):
        FromDataset(pairs([GOOD]), pairs([torch.zeros(3, 2, 2)]))
