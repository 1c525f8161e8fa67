"""Sources that `distill` takes: folders, data sets of pairs or dicts, tensors; methods by name, class and path."""

import functools
import io
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import lightning_dd as dd
from lightning_dd.app.python_options import data_from
from lightning_dd.data import FromDataset
from lightning_dd.data.sources import by_names, read_source
from lightning_dd.errors import UserError
from lightning_dd.methods import DM
from lightning_dd.networks import ConvNet

OPTIONS = {
    "ipc": 1,
    "steps": 1,
    "evaluation": False,
    "network": functools.partial(ConvNet, width=4, depth=2),
    "trainer": {"enable_progress_bar": False, "accelerator": "cpu"},
}


class Half(DM):
    """A method of this module."""


def _photos(count: int = 12) -> list[tuple[Image.Image, str]]:
    """Photos of three classes, in several sizes and modes."""
    draw = np.random.default_rng(0)
    found = []
    for index in range(count):
        pixels = draw.integers(0, 80, (8 + index % 3, 10, 3), dtype=np.uint8)
        pixels[..., index % 3] += 120
        found.append((Image.fromarray(pixels).convert("L" if index == 4 else "RGB"), "abc"[index % 3]))
    return found


@pytest.fixture
def folder(tmp_path) -> Path:
    for index, (photo, name) in enumerate(_photos()):
        place = tmp_path / "photos" / name
        place.mkdir(parents=True, exist_ok=True)
        photo.save(place / f"{index}.png")
    return tmp_path / "photos"


class LikeHuggingFace:
    """Rows as dicts and a description of the columns, as a `datasets.Dataset` gives them."""

    def __init__(self):
        self.features = {"img": object(), "label": SimpleNamespace(names=["a", "b", "c"])}
        self.rows = [{"img": photo, "label": "abc".index(name)} for photo, name in _photos()]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def test_a_folder(folder, tmp_path):
    distilled = dd.distill(str(folder), image_size=(8, 12), crop=True, root=tmp_path, **OPTIONS)
    assert distilled.class_names == ("a", "b", "c")
    assert distilled.image_shape == (3, 8, 12)
    assert distilled.folder == tmp_path / "dm_photos_ipc1" / "version_0"
    with pytest.warns(UserWarning, match="has no test folder: testing on the 0.2 of each class"):
        assert distilled.evaluate(folder, _always_the_first) == 33.333
    merged = dd.merge([distilled])
    assert merged.recipe["crop"]  # test images are treated as those that were distilled
    assert merged.evaluate(folder, _always_the_first) == 33.333


@pytest.mark.parametrize("names", [True, False])
def test_dicts_as_lists_and_as_hugging_face_gives_them(names, tmp_path):
    rows = [{"image": photo, "label": name} for photo, name in _photos()] if names else LikeHuggingFace()
    distilled = dd.distill(rows, image_size=8, root=tmp_path, name="mine", **OPTIONS)
    assert (distilled.class_names, distilled.image_shape) == (("a", "b", "c"), (3, 8, 8))
    assert distilled.folder == tmp_path / "dm_mine_ipc1" / "version_0"
    assert distilled.evaluate(rows, _always_the_first) == 33.333


def _always_the_first(images: torch.Tensor) -> torch.Tensor:
    return torch.eye(3)[torch.zeros(len(images), dtype=torch.long)]


def test_tensors_and_the_same_set_as_pairs_give_the_same_images(tmp_path):
    images, labels = torch.rand(20, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 2
    found = [
        dd.distill(source, root=tmp_path, **OPTIONS).images
        for source in ((images, labels), (images.numpy(), labels.numpy()), list(zip(images, labels, strict=True)))
    ]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    options = {**OPTIONS, "network": "ConvNet:width=4,depth=1"}
    smaller = dd.distill((images[:, None], labels), root=tmp_path, image_size=4, **options)
    assert smaller.image_shape == (1, 4, 4)


def test_a_method_by_name_class_and_path(tmp_path):
    class Local(DM):
        """A method of a function, which no path leads to."""

    source = torch.rand(8, 1, 8, 8), torch.arange(8) % 2
    for method, name in (("Dm", "DM"), (DM, "DM"), (Half, "Half"), (f"{__name__}.Half", "Half"), (Local, "Local")):
        assert dd.distill(source, method, root=tmp_path, **OPTIONS).info["method"] == name


TENSORS = torch.zeros(8, 1, 8, 8), torch.arange(8) % 2


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("nowhere", {}, "there is no folder nowhere: check the folder's path"),
        ([{"image": photo, "label": name} for photo, name in _photos()], {}, "while the first is 8x10: set image_size"),
        ([{"picture": 1, "label": 0}], {}, "columns picture, label: rename two of them to image and label"),
        ({"train": [1], "test": [2]}, {}, "has parts .train, test.: give one of them"),
        ((TENSORS[0], TENSORS[1][:3]), {}, r"shapes \(8, 1, 8, 8\) and \(3,\): give \(N, C, H, W\) and \(N,\)"),
        ((TENSORS[0] + 5, TENSORS[1]), {}, r"give them in \[0, 1\]"),
        (TENSORS, {"image_size": 0}, "^image_size must be one positive number"),
        (TENSORS, {"data": {"zcaa": "mtt"}}, "There is no option data.zcaa; did you mean zca"),
        (TENSORS, {"on_unreadable": "skip"}, "on_unreadable is an option of the data: give data="),
        (TENSORS, {"stepss": 3}, "There is no option stepss; did you mean steps"),
        (TENSORS, {"method": 3}, "method is a name such as 'dm', a class of methods, or its path"),
        (TENSORS, {"method": "nowhere.Half"}, "'nowhere.Half' cannot be imported: No module named 'nowhere'"),
        (TENSORS, {"method": "lightning_dd.methods.Halff"}, "The module lightning_dd.methods has no Halff"),
        (TENSORS, {"method": "lightning_dd.networks.ConvNet"}, "is no method"),
        (TENSORS, {"method": "experts"}, "no method 'experts'"),
        (TENSORS, {"ipc": 100}, "init noise"),
        (TENSORS, {"evaluation": {"protocol": "krr"}}, "^evaluation.protocol krr"),
    ],
)
def test_errors_are_in_words_of_python(source, options, words, tmp_path):
    with pytest.raises(UserError, match=words) as caught:
        dd.distill(source, root=tmp_path, **{**OPTIONS, **options})
    assert "--" not in str(caught.value)
    assert "model." not in str(caught.value)


def test_broken_files_of_a_folder_are_left_out_beside_a_test_set(folder):
    (folder / "a" / "broken.png").write_bytes(b"none")
    options = {"image_size": 8, "on_unreadable": "skip"}
    with pytest.warns(UserWarning, match="cannot be read"):
        assert len(FromDataset(folder, _photos(), **options).load("train")[1]) == 12
    with pytest.raises(UserError, match="for the files of a folder"):
        FromDataset(TENSORS, **options)


def test_labels_and_class_names_as_other_libraries_give_them():
    images, labels = TENSORS
    for given in (list(labels), list(labels.numpy()), tuple(labels.tolist()), _Column(labels.numpy())):
        read = read_source((images, given), "train", class_names=np.array(["a", "b"]))
        assert torch.equal(read.labels, labels)
        assert read.class_names == ("a", "b")
    assert FromDataset((images, labels), class_names=np.array(["a", "b"])).class_names == ("a", "b")


class _Column(list):
    """A column of a table, as pandas has them."""

    def to_numpy(self):
        return np.array(self)


def test_resizing_stays_in_the_range_of_the_pixels():
    """Rounding gives white images 1 + 5e-7."""
    white = torch.ones(2, 3, 97, 100)
    assert read_source((white, torch.arange(2)), "train", image_size=20).images.unique().tolist() == [255]


def test_a_folder_takes_no_class_names(folder, tmp_path):
    with pytest.raises(UserError, match="leave class_names out"):
        dd.distill(folder, class_names=["x"], root=tmp_path, **OPTIONS)


def test_the_classes_of_a_test_folder_are_those_of_their_names(folder, tmp_path):
    """It has fewer, so that its own indices are others."""
    for name in ("b", "c"):
        (tmp_path / "held" / name).mkdir(parents=True)
        for path in (folder / name).iterdir():
            shutil.copy(path, tmp_path / "held" / name / path.name)
    data = FromDataset(folder, tmp_path / "held", image_size=8)
    labels = data.load("test")[1]
    assert set(labels.tolist()) == {1, 2}
    (tmp_path / "held" / "c").rename(tmp_path / "held" / "z")
    with pytest.raises(UserError, match="have a class 'z', which the training part does not know"):
        FromDataset(folder, tmp_path / "held", image_size=8)


def test_class_names_are_the_same_as_other_libraries_spell_them():
    labels = torch.tensor([0, 1, 1])
    assert by_names(labels, ["1 - one", "0 - zero"], ["0", "1"], "the set").tolist() == [1, 0, 0]
    assert by_names(labels, ["T - shirt / top", "Ankle boot"], ["Ankle_Boot", "T-shirt/top"], "").tolist() == [1, 0, 0]
    assert by_names(labels, ["A", "a"], ["a", "A"], "the set").tolist() == [1, 0, 0]  # told apart where they can be
    with pytest.raises(UserError, match="a class 'a ', which the set does not know"):
        by_names(labels, ["a ", "b"], ["a", "A", "b"], "the set")


class _Named:
    """A torch data set of two classes that has names for them."""

    def __init__(self, classes):
        self.classes = classes

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return torch.full((1, 8, 8), 100, dtype=torch.uint8), (0, 0, 1)[index]


def test_a_user_may_call_the_classes_of_both_parts_otherwise():
    data = FromDataset(_Named(["x", "y"]), _Named(["y", "x"]), class_names=["cat", "dog"])
    assert data.class_names == ("cat", "dog")
    assert data.load("train")[1].tolist() == [0, 0, 1]
    assert data.load("test")[1].tolist() == [1, 1, 0]


def test_arrays_with_channels_first_or_last():
    images = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8)
    labels = torch.arange(6) % 2
    for array in (images.numpy(), images.movedim(1, -1).numpy(), images):
        assert torch.equal(read_source((array, labels), "train").images, images)


def test_a_data_set_whose_classes_are_a_number():
    data = torch.utils.data.TensorDataset(*TENSORS)
    data.classes = 2
    assert FromDataset(data, test_fraction=0.5).class_names == ("0", "1")


def test_a_pillow_image_that_lies_on_its_side():
    exif = Image.Exif()
    exif[0x112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (10, 8)).save(buffer, "JPEG", exif=exif)
    lying = Image.open(buffer)
    assert read_source([(lying, 0), (Image.new("RGB", (8, 10)), 1)], "train").images.shape == (2, 3, 10, 8)
    with pytest.raises(UserError, match="floating-point pixels of no known range"):
        read_source([(Image.new("F", (8, 8)), 0)], "train")


def test_class_names_that_no_file_can_hold():
    with pytest.raises(UserError, match="none occurs twice"):
        FromDataset(TENSORS, class_names=["a", "a"])


def test_arrays_seen_backwards():
    """Channels in reverse, as of BGR, have negative strides."""
    images = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    found = read_source((images[:, ::-1], np.arange(2)), "train").images
    assert np.array_equal(found.numpy(), images[:, ::-1])


def test_a_folder_with_a_test_set_keeps_its_name(tmp_path):
    for part in ("photos", "others"):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            Image.new("RGB", (4, 4)).save(tmp_path / part / name / "0.png")
    data = data_from(str(tmp_path / "photos"), str(tmp_path / "others"), None, None, {})
    assert data.name == "photos"
