import json

import pytest

from lightning_dd.data import TinyImageNet
from lightning_dd.errors import UserError

WNIDS = ["n01", "n02", "n03"]


@pytest.fixture
def official(tmp_path, write_folder):
    """Three classes, two images each; the pixels say the class, the gray ones are of class 1."""
    files = {}
    for label, wnid in enumerate(WNIDS):
        for i in range(2):
            kind = {"value": 50 * label, "size": (64, 64), "format": "PNG", "mode": "L" if label == 1 else "RGB"}
            files[f"train/{wnid}/images/{wnid}_{i}.JPEG"] = kind
            files[f"val/images/val_{2 - label}_{i}.JPEG"] = kind
    root = write_folder(tmp_path / "tiny-imagenet-200", files)
    lines = [f"val_{2 - label}_{i}.JPEG\t{wnid}\t0\t0\t9\t9" for label, wnid in enumerate(WNIDS) for i in range(2)]
    (root / "val" / "val_annotations.txt").write_text("\n".join(reversed(lines)) + "\n")
    (root / "words.txt").write_text("n01\tfish, gold\nn02\tcrane, bird\nn03\tcrane, machine\n")
    return root


def rearrange(root):
    for line in (root / "val" / "val_annotations.txt").read_text().splitlines():
        name, wnid = line.split("\t")[:2]
        (root / "val" / wnid).mkdir(exist_ok=True)
        (root / "val" / "images" / name).rename(root / "val" / wnid / name)
    (root / "val" / "val_annotations.txt").unlink()


@pytest.mark.parametrize("rearranged", [False, True])
@pytest.mark.parametrize("inner", [False, True])
def test_official_folder(official, rearranged, inner):
    if rearranged:
        rearrange(official)
    data = TinyImageNet(str(official if inner else official.parent))
    assert data.class_names == ("fish", "crane, bird", "crane, machine")
    data.setup()
    for images, labels in (data.split("train"), data.split("test")):
        assert images.shape == (6, 3, 64, 64)
        assert labels.bincount().tolist() == [2, 2, 2]
        assert (images.flatten(1).float() == 50.0 * labels[:, None]).all()


def test_flat_val_without_annotations(official):
    (official / "val" / "val_annotations.txt").unlink()
    with pytest.raises(UserError, match="neither class folders nor val_annotations"):
        TinyImageNet(str(official)).setup()


def test_annotated_file_that_is_missing(official):
    (official / "val" / "images" / "val_0_0.JPEG").unlink()
    with pytest.raises(UserError, match=r"val_0_0\.JPEG is in val_annotations\.txt but not on disk"):
        TinyImageNet(str(official)).setup()


def test_hub_files_with_a_shard_missing(tmp_path, write_parquet, picture):
    folder = tmp_path / "tiny-imagenet"
    contents = [picture(50 * label, (64, 64), "L" if label == 1 else "RGB") for label in range(3)]
    write_parquet(folder / "train-00000-of-00004.parquet", contents, [0, 1, 2], names=WNIDS)
    write_parquet(folder / "valid-00000-of-00001.parquet", contents, [0, 1, 2], names=WNIDS)
    (folder / "classes.json").write_text(json.dumps({"n01": "goldfish, Carassius"}))
    with pytest.warns(UserWarning, match="only 1 of 4 train files"):
        data = TinyImageNet(str(tmp_path))
    assert data.class_names == ("goldfish", "n02", "n03")
    data.setup()
    assert data.train_images.shape == (3, 3, 64, 64)
    assert data.test_images[1].unique().tolist() == [50]


def test_nothing_there(tmp_path):
    data = TinyImageNet(str(tmp_path))
    assert data.num_classes == 200
    with pytest.raises(UserError, match=r"tiny-imagenet-200/train nor as tiny-imagenet/\*\.parquet"):
        data.setup()
