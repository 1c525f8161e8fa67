"""Distilled sets as other programs read them: what is written, and that it reads back."""

import io
import json

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image

import lightning_dd as dd
from lightning_dd.app import commands
from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.external import read_foreign
from lightning_dd.artifact.preprocessing import Normalization
from lightning_dd.artifact.sharing import without_places
from lightning_dd.data import Parquet
from lightning_dd.errors import UserError

NORMALIZATION = Normalization([0.4, 0.5, 0.6], [0.2, 0.25, 0.3])
NAMES = ("cat", "a/b", "Ärger")
LOGITS = torch.tensor([[3.0, -1, 0], [0, 2, 1], [0, 4, 1], [0, 0, 1]])


def _distilled(**changes) -> DistilledDataset:
    """Images partly outside [0, 1], of classes with one and two images."""
    images = torch.randn(4, 3, 5, 4, generator=torch.Generator().manual_seed(0)) * 0.4 + 0.5
    parts = {"images": images, "labels": torch.tensor([0, 1, 1, 2]), "class_names": NAMES}
    return DistilledDataset(**{**parts, "preprocessing": NORMALIZATION, **changes})


def _bytes(images: torch.Tensor) -> torch.Tensor:
    return (images.clamp(0, 1) * 255).round().byte()


def test_the_form_of_dc_reads_back_with_the_same_tensors(tmp_path):
    distilled = _distilled()
    distilled.to_vico(tmp_path / "res.pt")
    (found,) = read_foreign(tmp_path / "res.pt")
    assert torch.equal(found.images, distilled.prepared)
    assert torch.equal(found.labels, distilled.labels)
    soft = _distilled(labels=LOGITS, label_kind="logits")
    soft.to_vico(tmp_path / "soft.pt")
    assert torch.equal(read_foreign(tmp_path / "soft.pt")[0].labels, LOGITS.argmax(1))


@pytest.mark.parametrize("kind", ["index", "logits", "probabilities"])
def test_the_form_of_mtt_reads_back_with_the_same_tensors(tmp_path, kind):
    labels = {"index": torch.tensor([0, 1, 1, 2]), "logits": LOGITS, "probabilities": LOGITS.softmax(1)}[kind]
    distilled = _distilled(labels=labels, label_kind=kind, recipe={"step_size": 0.0123})
    distilled.to_mtt(tmp_path)
    (found,) = read_foreign(tmp_path)
    assert torch.equal(found.images, distilled.prepared)
    assert torch.equal(found.labels, labels)
    assert (found.label_kind, found.step_size) == (kind, pytest.approx(0.0123))
    _distilled().to_mtt(tmp_path)
    assert read_foreign(tmp_path)[0].step_size is None  # nothing is left of the set before


def test_targets_of_a_regression_have_no_form_in_mtt(tmp_path):
    with pytest.raises(UserError, match="no targets"):
        _distilled(labels=LOGITS, label_kind="targets").to_mtt(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_dictionary_of_tensors():
    soft = _distilled(labels=LOGITS, label_kind="logits")
    assert torch.equal(soft.to_dict()["x"], soft.prepared)
    assert torch.equal(soft.to_dict()["y"], torch.tensor([0, 1, 1, 2]))


def test_pictures_by_class(tmp_path):
    distilled = _distilled()
    distilled.to_folder(tmp_path / "pictures")
    found = sorted(path.relative_to(tmp_path / "pictures").as_posix() for path in tmp_path.rglob("*.png"))
    assert found == ["a_b/00000.png", "a_b/00001.png", "cat/00000.png", "Ärger/00000.png"]
    pixels = torch.tensor(list(Image.open(tmp_path / "pictures/a_b/00001.png").getdata())).T.view(3, 5, 4)
    assert torch.equal(pixels, _bytes(distilled.images[2]).long())
    with pytest.raises(UserError, match="not empty"):
        distilled.to_folder(tmp_path / "pictures")
    with pytest.raises(UserError, match="1 or 3 channels"):
        _distilled(images=torch.rand(4, 2, 5, 4), preprocessing=Normalization([0, 0], [1, 1])).to_folder(tmp_path / "2")


def test_class_names_that_make_one_folder_are_told_apart(tmp_path):
    _distilled(class_names=("a/b", "a_b", "..")).to_folder(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0000_a_b", "0001_a_b", "0002__"]


def test_parquet_is_read_by_our_own_data_and_by_datasets(tmp_path):
    distilled = _distilled(labels=LOGITS, label_kind="logits")
    distilled.to_parquet(tmp_path / "train.parquet")
    table = pq.read_table(tmp_path / "train.parquet")
    assert table["label"].to_pylist() == [0, 1, 1, 2]
    assert table["logits"].to_pylist() == LOGITS.tolist()
    assert Image.open(io.BytesIO(table["image"][0].as_py()["bytes"])).size == (4, 5)
    data = Parquet(str(tmp_path / "train.parquet"), test_fraction=0.5, cache=False)
    assert data.class_names == NAMES
    assert torch.equal(data.hub_set.images("train", data.decoding, cache=False)["images"], _bytes(distilled.images))
    datasets = pytest.importorskip("datasets")
    read = datasets.Dataset.from_parquet(str(tmp_path / "train.parquet"), cache_dir=str(tmp_path / "cache"))
    assert read.features["label"].names == list(NAMES)
    assert read[1]["image"].size == (4, 5)
    assert read[1]["logits"] == LOGITS[1].tolist()


RECORD = {
    "step": 100,
    "network": "ConvNet",
    "protocol": "dm",
    "epochs": 1000,
    "num_networks": 5,
    "split": "test",
    "accuracy_mean": 48.93,
    "accuracy_std": 0.61,
    "random_real_mean": None,
    "random_real_std": None,
}
INFO = {
    "method": "DM",
    "paper": "Dataset Condensation with Distribution Matching (WACV 2023, arXiv 2110.04181)",
    "dataset": "cifar10",
    "seed": 3,
    "steps": 100,
    "config": {"model": {"class_path": "DM", "init_args": {"ipc": 1}}, "data": {"class_path": "CIFAR10"}},
    "evaluations": [{**RECORD, "step": 50}, RECORD],
    "cost": {"seconds": 90.0, "peak_memory_bytes": 2**29},
    "environment": {"torch": "2.8", "device": "two cores", "precision": "bf16-mixed"},
}


def _card(folder) -> tuple[dict, str]:
    _, head, text = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(head), text


def test_a_folder_to_share_holds_the_set_and_a_card(tmp_path):
    distilled = _distilled(info=INFO)
    distilled.save_pretrained(tmp_path, license="mit", card_kwargs={"language": ["en"], "pretty_name": "Mine"})
    again = dd.load(tmp_path)
    assert torch.equal(again.images, distilled.images)
    assert again.info == json.loads((tmp_path / "results.json").read_text()) == INFO
    trainer = yaml.safe_load((tmp_path / "config.yaml").read_text())["trainer"]
    assert trainer == {"max_steps": 100, "precision": "bf16-mixed"}
    assert Image.open(tmp_path / "distilled.png").size[0] > 4
    head, text = _card(tmp_path)
    assert (head["license"], head["language"], head["pretty_name"]) == ("mit", ["en"], "Mine")
    assert head["source_datasets"] == ["uoft-cs/cifar10"]
    assert head["tags"] == ["dataset-distillation", "lightning-dd", "ipc-2", "dm", "arxiv:2110.04181"]
    assert head["dataset_info"]["splits"][0]["num_examples"] == 4
    assert head["dataset_info"]["features"][1]["dtype"]["class_label"]["names"]["2"] == "Ärger"
    assert "| ConvNet | dm | 5 | 48.9 ± 0.6 |  |" in text
    assert text.count("| ConvNet |") == 1
    assert "1.5 minutes on two cores" in text
    assert "0.50 GiB" in text


def test_the_card_of_a_set_under_a_teacher_says_whose_accuracy_it_is(tmp_path):
    info = INFO | {"evaluations": [RECORD | {"protocol": "kd"}], "cost": {"seconds": 60.0, "seconds_before": 5400.0}}
    _distilled(info=info, recipe={"protocol": "kd"}).save_pretrained(tmp_path)
    _, text = _card(tmp_path)
    assert "the teacher" in text
    assert "on these images alone" not in text
    assert "the loop below ends far below" in text
    assert "60 seconds on two cores, after 90.0 minutes of networks trained beforehand" in text


def test_the_config_of_another_set_does_not_stay(tmp_path):
    _distilled(info=INFO).save_pretrained(tmp_path)
    _distilled().save_pretrained(tmp_path)
    assert not (tmp_path / "config.yaml").exists()


def test_a_card_that_is_there_stays(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    _distilled().save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_the_card_of_a_part_claims_no_accuracy(tmp_path):
    _distilled(info=INFO, labels=LOGITS, label_kind="logits").select([0, 1]).save_pretrained(tmp_path)
    head, text = _card(tmp_path)
    assert "48.9" not in text
    assert "license" not in head
    assert "not stated" in text.lower()
    assert {"name": "logits", "sequence": "float32"} in head["dataset_info"]["features"]


def test_the_command_export(tmp_path, capsys):
    _distilled(labels=LOGITS, label_kind="logits").save(tmp_path / "run" / "distilled.safetensors")
    for form, place in (("vico", "res.pt"), ("mtt", "mtt"), ("folder", "pictures"), ("parquet", "p.parquet")):
        words = ["export", str(tmp_path / "run"), "--to", form, str(tmp_path / place)]
        assert commands.main(words) == 0
        assert f"In {tmp_path / place}: " in capsys.readouterr().out
        assert (tmp_path / place).exists()
    assert commands.main(["export", str(tmp_path / "run"), "--to", "share", str(tmp_path / "share")]) == 0
    assert torch.equal(dd.load(tmp_path / "share").labels, LOGITS)
    assert commands.main(["export", str(tmp_path / "none"), "--to", "vico", str(tmp_path / "x.pt")]) == 1


def test_a_run_is_not_shared_into_itself(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="is a run's, whose record would be shortened: give another folder"):
        _distilled().save_pretrained(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("dd.distill('f8', weights='/home/me/Max M/pat ients/teacher.pt')", "dd.distill('f8', weights='teacher.pt')"),
        ("./../secret/t.pt", "t.pt"),
        ("runs/../../home/alice/x", "x"),
        ("weights:/home/alice/x.pt", "weights:x.pt"),
        ('["/a/b c/d.pt", 2]', '["d.pt", 2]'),
        ("C:\\Users\\me\\x.pt", "x.pt"),
        ("https://arxiv.org/abs/2011.00050", "https://arxiv.org/abs/2011.00050"),
        ("configs/dm/cifar10_ipc1.yaml", "configs/dm/cifar10_ipc1.yaml"),
    ],
)
def test_what_is_shared_names_no_folder_of_a_machine(text, left):
    assert without_places({"a": [text]}) == {"a": [left]}
