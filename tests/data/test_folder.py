import os

import pytest
import torch
from PIL import Image

from lightning_dd.data import ImageFolder
from lightning_dd.errors import UserError


def rgb(value, size=(6, 4)):
    return {"value": value, "size": size}


def gray(value, size=(6, 4)):
    return {"value": value, "size": size, "mode": "L"}


@pytest.fixture
def simple(tmp_path, write_folder):
    files = {f"My Pets/cat/{i}.png": rgb(10 + i) for i in range(10)} | {
        f"My Pets/dog/{i}.png": rgb(100) for i in range(4)
    }
    return write_folder(tmp_path, files) / "My Pets"


def test_facts_are_known_before_setup(simple):
    data = ImageFolder(str(simple))
    assert (data.name, data.class_names, data.num_classes, data.image_shape) == (
        "my_pets",
        ("cat", "dog"),
        2,
        (3, 6, 4),
    )


def test_stratified_test_part(simple):
    data = ImageFolder(str(simple), test_fraction=0.3)
    data.setup()
    assert data.test_labels.bincount().tolist() == [3, 1]
    assert data.train_labels.bincount().tolist() == [7, 3]
    both = torch.cat([data.train_images, data.test_images])[:, 0, 0, 0]
    assert sorted(both.tolist()) == [*range(10, 20), 100, 100, 100, 100]


def test_class_with_one_image_trains_on_it(tmp_path, write_folder):
    root = write_folder(tmp_path, {"a/1.png": rgb(1), "b/1.png": rgb(2), "b/2.png": rgb(3)})
    data = ImageFolder(str(root), test_fraction=0.9)
    data.setup()
    assert data.train_labels.tolist() == [0, 1]
    assert data.test_labels.tolist() == [1]


@pytest.mark.parametrize(
    ("train", "name"), [("train", "test"), ("train", "val"), ("Train", "Valid"), ("training", "testing")]
)
def test_train_and_test_folders(tmp_path, write_folder, train, name):
    files = {
        f"{train}/a/x.png": rgb(1),
        f"{train}/b/deeper/y.PNG": rgb(2),
        f"{name}/b/z.png": rgb(3),
        f"{train}/b/.hidden.png": b"no",
    }
    data = ImageFolder(str(write_folder(tmp_path, files)))
    data.setup()
    assert data.train_labels.tolist() == [0, 1]
    assert data.test_labels.tolist() == [1]
    assert data.test_images.unique().tolist() == [3]


@pytest.mark.parametrize("part", ["test", "Val"])
def test_a_test_folder_beside_the_classes_is_no_class(tmp_path, write_folder, part):
    files = {f"{kind}/{i}.png": rgb(i) for kind in ("cat", "dog") for i in range(2)} | {f"{part}/dog/3.png": rgb(9)}
    data = ImageFolder(str(write_folder(tmp_path, files)))
    data.setup()
    assert data.class_names == ("cat", "dog")
    assert (data.test_images.unique().tolist(), data.test_labels.tolist()) == ([9], [1])


def test_a_class_may_be_called_test(tmp_path, write_folder):
    files = {f"{kind}/{i}.png": rgb(1) for kind in ("cat", "test", "val/of 2020") for i in range(2)}
    assert ImageFolder(str(write_folder(tmp_path, files))).class_names == ("cat", "test", "val")


def test_images_beside_the_train_folder_are_named(tmp_path, write_folder):
    files = {f"{place}/1.png": rgb(1) for place in ("train/cat", "train/dog", "test/cat", "bird")}
    with pytest.warns(UserWarning, match="are left out: those in bird"):
        ImageFolder(str(write_folder(tmp_path, files)))


def test_class_called_train(tmp_path, write_folder):
    files = {f"{kind}/{i}.png": rgb(1) for kind in ("car", "train") for i in range(2)}
    assert ImageFolder(str(write_folder(tmp_path, files))).class_names == ("car", "train")


def test_test_class_that_is_not_trained_on(tmp_path, write_folder):
    files = {"train/a/x.png": rgb(1), "test/extra/x.png": rgb(1)}
    with pytest.raises(UserError, match="'extra'"):
        ImageFolder(str(write_folder(tmp_path, files)))


def test_modes(tmp_path, write_folder):
    files = {
        "a/1_gray.png": gray(200),
        "a/2_rgb.png": rgb(200),
        "a/3_rgba.png": {"value": 200, "mode": "RGBA"},
        "a/4_palette.gif": {"value": 0, "mode": "P", "format": "GIF"},
        "a/5_deep.png": {"value": 200 * 257, "mode": "I;16"},
        "a/6_jpeg.jpg": {"value": 200, "format": "JPEG"},
        "a/7_alpha.png": {"value": 200, "mode": "LA"},
    }
    root = write_folder(tmp_path, files)
    data = ImageFolder(str(root), test_fraction=0.0)
    assert data.image_shape == (3, 6, 4)
    data.setup()
    expected = [200, 200, 212, 0, 200, 200, 212]  # on white
    for image, value in zip(data.train_images, expected, strict=True):
        assert (image.int() - value).abs().max() <= 1, value
    gray_data = ImageFolder(str(root), test_fraction=0.0, channels=1)
    gray_data.setup()
    assert gray_data.train_images.shape == (7, 1, 6, 4)


@pytest.mark.parametrize("image_size", [None, (6, 4)])
def test_all_gray_is_one_channel(tmp_path, write_folder, image_size):
    root = write_folder(tmp_path, {f"{kind}/{i}.png": gray(50) for kind in "ab" for i in range(3)})
    assert ImageFolder(str(root), image_size=image_size).image_shape == (1, 6, 4)
    assert ImageFolder(str(root), image_size=image_size, channels=3).image_shape == (3, 6, 4)


def test_different_sizes_need_image_size(tmp_path, write_folder):
    root = write_folder(tmp_path, {"a/1.png": rgb(1, (6, 4)), "a/2.png": rgb(1, (8, 5))})
    with pytest.raises(UserError, match=r"6x4, and 8x5 in .*2\.png.*image_size"):
        ImageFolder(str(root))


@pytest.mark.parametrize(("crop", "corner"), [(False, 255), (True, 0)])
def test_resize_stretches_or_crops(tmp_path, crop, corner):
    from PIL import Image

    image = Image.new("RGB", (40, 10))  # white ends, black middle
    image.paste((255, 255, 255), (0, 0, 10, 10))
    image.paste((255, 255, 255), (30, 0, 40, 10))
    (tmp_path / "a").mkdir()
    image.save(tmp_path / "a" / "1.png")
    data = ImageFolder(str(tmp_path), image_size=(10, 20), crop=crop, test_fraction=0)
    data.setup()
    assert data.train_images.shape == (1, 3, 10, 20)
    assert data.train_images[0, 0, 5, 0] == corner
    assert data.train_images[0, 0, 5, 10] == 0


def test_exif_orientation(tmp_path):
    from PIL import Image

    (tmp_path / "a").mkdir()
    image = Image.new("L", (8, 4))
    image.paste(255, (0, 0, 8, 1))  # the first row is white
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: the first row becomes the last column
    image.save(tmp_path / "a" / "1.png", exif=exif)
    data = ImageFolder(str(tmp_path), test_fraction=0)
    assert data.image_shape == (1, 8, 4)
    data.setup()
    assert data.train_images[0, 0, :, -1].tolist() == [255] * 8
    assert data.train_images[0, 0, :, :-1].sum() == 0


def test_orientation_that_a_jpeg_states_in_xmp_alone(tmp_path):
    for name, turned in (("a", True), ("b", False)):
        (tmp_path / name).mkdir()
        xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
        Image.new("L", (8, 4) if turned else (4, 8)).save(tmp_path / name / "1.jpg", **({"xmp": xmp} if turned else {}))
    data = ImageFolder(str(tmp_path), test_fraction=0)
    data.setup()
    assert data.train_images.shape == (2, 1, 8, 4)


def test_copies_that_programs_hide_are_no_images(tmp_path, write_folder):
    names = "a/1.png", "a/.ipynb_checkpoints/1-checkpoint.png", "b/2.png"
    root = write_folder(tmp_path, {name: rgb(number) for number, name in enumerate(names)})
    data = ImageFolder(str(root), test_fraction=0)
    data.setup()
    assert len(data.train_images) == 2


def test_images_of_formats_that_are_not_read_are_named(tmp_path, write_folder):
    other = {"a/2.HEIC": b"-", "a/more/3.heic": b"-", "b/4.dng": b"-", "b/notes.txt": b"-", "b/._5.heic": b"-"}
    root = write_folder(tmp_path, {"a/1.png": rgb(1), "b/1.png": rgb(2)} | other)
    with pytest.warns(UserWarning, match=r"left out: 1 \.dng, 2 \.heic; convert them to PNG"):
        data = ImageFolder(str(root), test_fraction=0)
    data.setup()
    assert len(data.train_images) == 2


def test_a_link_that_leads_nowhere_can_be_skipped(tmp_path, write_folder):
    root = write_folder(tmp_path, {"a/1.png": rgb(1), "b/1.png": rgb(2)})
    (root / "a" / "2.png").symlink_to(root / "nowhere.png")
    with pytest.raises(UserError, match=r"2\.png cannot be read as an image .*on_unreadable"):
        ImageFolder(str(root), test_fraction=0).setup()
    data = ImageFolder(str(root), test_fraction=0, on_unreadable="skip")
    with pytest.warns(UserWarning, match=r"1 of 3 images .*left out: .*2\.png"):
        data.setup()
    assert data.train_labels.tolist() == [0, 1]


def test_unreadable_file(tmp_path, write_folder, picture):
    cut = picture(5)[:-30]
    files = {"a/1.png": rgb(1), "a/2_none.png": b"not an image", "a/3_cut.png": cut, "b/1.png": rgb(2)}
    root = str(write_folder(tmp_path, files))
    with pytest.raises(
        UserError, match=r"2 images cannot be read: .*2_none\.png; .*3_cut\.png: remove them .*on_unreadable"
    ):
        ImageFolder(root, test_fraction=0).setup()
    for _ in range(2):  # also when it comes from the cache
        data = ImageFolder(root, test_fraction=0, on_unreadable="skip")
        with pytest.warns(UserWarning, match=r"2 of 4 images .*left out: .*2_none\.png"):
            data.setup()
        assert data.train_labels.tolist() == [0, 1]
        assert data.train_images[:, 0, 0, 0].tolist() == [1, 2]
    with pytest.raises(UserError, match="2 images cannot be read"):  # the cache of the other policy is its own
        ImageFolder(root, test_fraction=0).setup()


def test_nothing_readable(tmp_path, write_folder):
    with pytest.raises(UserError, match="none of the 1 images"):
        ImageFolder(str(write_folder(tmp_path, {"a/1.png": b"no"})))


def test_class_that_lost_all_its_images(tmp_path, write_folder):
    root = write_folder(tmp_path, {"a/1.png": rgb(1)})
    (root / "empty").mkdir()
    data = ImageFolder(str(root), test_fraction=0)
    with pytest.raises(UserError, match="class 'empty'"):
        data.setup()


def test_no_folder_or_no_images(tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        ImageFolder(str(tmp_path / "nowhere"))
    (tmp_path / "a").mkdir()
    with pytest.raises(UserError, match="has no images in class folders"):
        ImageFolder(str(tmp_path))


@pytest.mark.parametrize("image_size", [0, (3, -1)])
def test_image_size_must_be_positive(simple, image_size):
    with pytest.raises(UserError, match="image_size"):
        ImageFolder(str(simple), image_size=image_size)


def test_cache_is_used_and_notices_changes(simple, own_cache, picture, monkeypatch):
    ImageFolder(str(simple), test_fraction=0).setup()
    files = list(own_cache.iterdir())
    assert files
    assert all(file.suffix == ".safetensors" for file in files)
    path = simple / "cat" / "0.png"
    path.write_bytes(picture(77))
    os.utime(path, ns=(1, 1))
    data = ImageFolder(str(simple), test_fraction=0)
    data.setup()
    assert data.train_images[0].unique().tolist() == [77]
    monkeypatch.setattr("lightning_dd.data.folder.decode_all", lambda *_: pytest.fail("decoded again"))
    again = ImageFolder(str(simple), test_fraction=0)
    again.setup()
    assert torch.equal(again.train_images, data.train_images)


@pytest.mark.parametrize("damage", ["unwritable", "cut", "off"])
def test_cache_that_cannot_be_used_is_no_error(simple, own_cache, monkeypatch, damage):
    if damage == "unwritable":
        (own_cache / "file").write_bytes(b"")
        monkeypatch.setenv("LIGHTNING_DD_CACHE", str(own_cache / "file" / "below"))
    if damage == "cut":
        ImageFolder(str(simple)).setup()
        for file in own_cache.iterdir():
            file.write_bytes(file.read_bytes()[:50])
    data = ImageFolder(str(simple), cache=damage != "off")
    data.setup()
    assert len(data.train_images) + len(data.test_images) == 14
    if damage == "off":
        assert not list(own_cache.iterdir())


def test_sixteen_bits_use_the_whole_range(tmp_path, write_folder):
    levels = [0, 128, 255]
    files = {f"a/{i}.png": {"value": level * 257, "mode": "I;16"} for i, level in enumerate(levels)}
    data = ImageFolder(str(write_folder(tmp_path, files)), test_fraction=0)
    data.setup()
    assert data.train_images[:, 0, 0, 0].tolist() == levels


def test_twelve_bits_in_sixteen_are_noticed(tmp_path, write_folder):
    root = write_folder(tmp_path, {"a/0.png": {"value": 4095, "mode": "I;16"}})
    with pytest.warns(UserWarning, match="no higher than 4,095 of 65,535"):
        ImageFolder(str(root), test_fraction=0).setup()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_ground_is_white(tmp_path, mode):
    """Black shapes on a transparent ground are black all over once the transparency is dropped."""
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 2, 4))
    (tmp_path / "icons" / "a").mkdir(parents=True)
    image.convert(mode).save(tmp_path / "icons" / "a" / "0.png")
    data = ImageFolder(str(tmp_path / "icons"), test_fraction=0.0)
    data.setup()
    assert data.train_images[0, 0].tolist() == [[0, 0, 255, 255]] * 4


def test_folders_one_level_above_the_classes_are_refused(tmp_path, write_folder):
    files = {f"pets/{part}/{name}/0.png": rgb(1) for part in ("first", "second") for name in ("cat", "dog")}
    root = write_folder(tmp_path, files) / "pets"
    for folder in (root, root.parent):
        with pytest.raises(UserError, match="name the folder whose folders are the classes"):
            ImageFolder(str(folder))
    assert ImageFolder(str(root / "first")).class_names == ("cat", "dog")
    (root / "second").rename(root / "test_set")
    (root / "first").rename(root / "training_set")
    assert ImageFolder(str(root)).class_names == ("cat", "dog")


def test_classes_that_hold_folders_alone_are_pointed_at(tmp_path, write_folder):
    root = write_folder(tmp_path, {"photos/cat/0.png": rgb(1), "photos/dog/0.png": rgb(1), "backup/cat/0.png": rgb(1)})
    with pytest.warns(UserWarning, match="\\(backup, photos\\) hold no images themselves"):
        assert ImageFolder(str(root)).class_names == ("backup", "photos")


def test_a_class_may_begin_with_underscores(tmp_path, write_folder):
    root = write_folder(tmp_path, {f"{name}/0.png": rgb(1) for name in ("a", "__other__", "__MACOSX")})
    assert ImageFolder(str(root)).class_names == ("__other__", "a")
