import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lightning_dd.data import Parquet
from lightning_dd.errors import UserError


def write_both(write_parquet, folder, contents, labels, **options):
    for part in ("train", "test"):
        write_parquet(folder / f"{part}-00000-of-00001.parquet", contents, labels, **options)
    return str(folder)


def test_class_names_from_the_metadata(tmp_path, write_parquet, picture):
    contents = [picture(value, (6, 4)) for value in (1, 2, 3)]
    root = write_both(
        write_parquet, tmp_path / "my set", contents, [1, 0, 1], names=["cat", "dog"], image="pic", label="kind"
    )
    data = Parquet(root)
    assert (data.name, data.class_names, data.image_shape) == ("my_set", ("cat", "dog"), (3, 6, 4))
    data.setup()
    assert data.train_labels.tolist() == [1, 0, 1]
    assert data.test_images[:, 2, 5, 3].tolist() == [1, 2, 3]


@pytest.mark.parametrize(("labels", "names"), [([7, 3, 7], ("3", "7")), (["owl", "emu", "owl"], ("emu", "owl"))])
def test_class_names_from_the_labels(tmp_path, write_parquet, picture, labels, names):
    root = write_both(write_parquet, tmp_path, [picture()] * 3, labels)
    data = Parquet(root)
    data.setup()
    assert data.class_names == names
    assert data.train_labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_columns_as_other_programs_write_them(kind, tmp_path, picture):
    columns = pa.array([picture(n) for n in range(4)], pa.binary_view()), pa.array(["emu", "owl"] * 2).cast(kind)
    pq.write_table(pa.table(columns, ["image", "kind"]), tmp_path / "train.parquet")
    data = Parquet(str(tmp_path), test_fraction=0.5)
    data.setup()
    assert data.class_names == ("emu", "owl")
    assert sorted(data.train_labels.tolist()) == [0, 1]


def test_a_later_file_of_other_columns_is_refused_at_once(tmp_path, write_parquet, picture):
    write_parquet(tmp_path / "train-00000-of-00002.parquet", [picture()], [0])
    write_parquet(tmp_path / "train-00001-of-00002.parquet", [picture()], [0], image="other")
    with pytest.raises(UserError, match=r"00001-of-00002\.parquet lacks column 'image' that train-00000-of-00002"):
        Parquet(str(tmp_path))


def test_plain_bytes_gray_images_and_a_folder_below(tmp_path, write_parquet, picture):
    write_both(write_parquet, tmp_path / "data", [picture(9, (5, 7), "L")] * 2, [0, 1], struct_type=False)
    data = Parquet(str(tmp_path))
    data.setup()
    assert data.image_shape == (1, 5, 7)
    assert data.train_images.unique().tolist() == [9]


def test_one_file_is_split(tmp_path, write_parquet, picture):
    write_parquet(tmp_path / "all.parquet", [picture(i) for i in range(10)], [0, 1] * 5)
    data = Parquet(str(tmp_path / "all.parquet"), test_fraction=0.4)
    data.setup()
    assert data.name == "all"
    assert data.test_labels.bincount().tolist() == [2, 2]
    both = [*data.train_images[:, 0, 0, 0].tolist(), *data.test_images[:, 0, 0, 0].tolist()]
    assert sorted(both) == list(range(10))


def test_test_part_is_preferred_to_validation(tmp_path, write_parquet, picture):
    for part, value in (("train", 1), ("validation", 2), ("test", 3)):
        write_parquet(tmp_path / f"{part}-00000-of-00001.parquet", [picture(value)], [0])
    data = Parquet(str(tmp_path))
    data.setup()
    assert data.test_images.unique().tolist() == [3]


def test_sizes_that_differ(tmp_path, write_parquet, picture):
    root = write_both(write_parquet, tmp_path, [picture(1, (6, 4)), picture(2, (8, 8))], [0, 1])
    with pytest.raises(UserError, match=r"row 1 of .* is 8x8 pixels while others are 6x4: set image_size"):
        Parquet(root).setup()
    data = Parquet(root, image_size=5)
    data.setup()
    assert data.train_images.shape == (2, 3, 5, 5)


def test_color_after_gray_is_not_lost_silently(tmp_path, write_parquet, picture):
    root = write_both(write_parquet, tmp_path, [picture(1, mode="L")] * 64 + [picture(2)], [0] * 65)
    with pytest.raises(UserError, match=r"row 64 .* in color"):
        Parquet(root).setup()
    data = Parquet(root, channels=3)
    data.setup()
    assert data.image_shape[0] == data.train_images.shape[1] == 3


def test_unreadable_rows(tmp_path, write_parquet, picture):
    root = write_both(write_parquet, tmp_path, [picture(1), None, b"no", picture(4)], [0, 0, 1, 1])
    with pytest.raises(UserError, match=r"2 images cannot be read: row 1 of "):
        Parquet(root).setup()
    data = Parquet(root, on_unreadable="skip")
    with pytest.warns(UserWarning, match=r"2 of 4 images .*row 1 of the train part"):
        data.setup()
    assert data.train_labels.tolist() == [0, 1]
    assert data.train_images[:, 0, 0, 0].tolist() == [1, 4]
    with pytest.raises(UserError, match="2 images cannot be read"):  # the cache of the other policy is its own
        Parquet(root).setup()


def test_columns_that_are_not_there(tmp_path, write_parquet, picture):
    root = write_both(write_parquet, tmp_path, ["a", "b"], [0, 1], image="text", struct_type=False)
    with pytest.raises(
        UserError, match=r"no image column was found .* whose columns are text, label: set data\.image_column"
    ):
        Parquet(root, label_column="label")
    with pytest.raises(UserError, match="no column 'pixels': its columns are text, label"):
        Parquet(root, image_column="pixels")


def test_bytes_that_are_no_images(tmp_path, write_parquet):
    root = write_both(write_parquet, tmp_path, [b"a", b"b"], [0, 1])
    with pytest.raises(UserError, match=r"column 'image' .* holds no images"):
        Parquet(root, label_column="label")


def test_unlabeled_test_part(tmp_path, write_parquet, picture):
    for part, label in (("train", 0), ("test", -1)):
        write_parquet(tmp_path / f"{part}.parquet", [picture()], [label], names=["a"])
    with pytest.raises(UserError, match=r"some test rows .* have no label"):
        Parquet(str(tmp_path)).setup()


def test_label_that_has_no_name(tmp_path, write_parquet, picture):
    root = write_both(write_parquet, tmp_path, [picture()] * 2, [0, 5], names=["a"])
    with pytest.raises(UserError, match="labels from -1"):
        Parquet(root).setup()


def test_no_files(tmp_path, write_parquet, picture):
    with pytest.raises(UserError, match="no folder or Parquet file"):
        Parquet(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="no Parquet files to train on"):
        Parquet(str(tmp_path))
    write_parquet(tmp_path / "test.parquet", [picture()], [0])
    with pytest.raises(UserError, match="no Parquet files to train on"):
        Parquet(str(tmp_path))


def test_file_that_is_no_parquet(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match=r"train\.parquet cannot be read as Parquet"):
        Parquet(str(tmp_path))


def test_folders_of_several_data_sets_are_no_set(tmp_path, write_parquet, picture):
    for size in ("160px", "320px"):
        write_both(write_parquet, tmp_path / size, [picture()] * 2, [0, 1])
    with pytest.raises(UserError, match=r"several data sets \(160px, 320px\): name the folder of one of them"):
        Parquet(str(tmp_path))
    assert Parquet(str(tmp_path / "160px")).num_classes == 2


def test_folders_of_the_parts_of_one_set(tmp_path, write_parquet, picture):
    for part, value in (("train", 1), ("test", 2)):
        write_parquet(tmp_path / part / "0000.parquet", [picture(value)] * 2, [0, 1])
    data = Parquet(str(tmp_path))
    data.setup()
    assert (data.train_images.unique().tolist(), data.test_images.unique().tolist()) == ([1], [2])


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("crash_test-train-0", "crash_test-test-0"),
        ("train_without_test", "test"),
        ("train/part-0", "test/part-0"),
        ("default/train/0000", "default/test/0000"),
    ],
)
def test_a_file_is_of_one_part(tmp_path, write_parquet, picture, train, test):
    for name, value in ((train, 1), (test, 2)):
        write_parquet(tmp_path / f"{name}.parquet", [picture(value)] * 2, [0, 1])
    data = Parquet(str(tmp_path))
    data.setup()
    assert (data.train_images.unique().tolist(), data.test_images.unique().tolist()) == ([1], [2])


def test_labels_that_are_lists(tmp_path, write_parquet, picture):
    root = write_both(write_parquet, tmp_path, [picture()] * 2, [[0, 1], [1]])
    with pytest.raises(UserError, match="holds no numbers or texts"):
        Parquet(root, label_column="label")


def test_labels_that_are_no_names(tmp_path, write_parquet, picture):
    with pytest.raises(UserError, match="none occurs twice or is empty"):
        Parquet(write_both(write_parquet, tmp_path, [picture()] * 2, ["", "b"]))
