"""The table of networks and artifacts as a command, on the bundled digits."""

import csv
import json
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image

import lightning_dd as dd
from lightning_dd.app import commands
from lightning_dd.app.comparing.sources import find_data
from lightning_dd.app.comparing.table import counts_of
from lightning_dd.artifact.dataset import load
from lightning_dd.data import Digits
from lightning_dd.errors import UserError
from lightning_dd.networks import MLP

SMALL = ["--networks", "MLP:width=8", "ConvNet:width=4,norm=batch", "--protocol", "dm", "--epochs", "1"]


@pytest.fixture
def run(fit, tmp_path) -> Path:
    """A run of DM on digits."""
    assert fit("--trainer.max_steps", "1") == 0
    return tmp_path / "dm_digits_ipc1" / "version_0"


def _main(*arguments: object) -> int:
    return commands.main(["evaluate", *(str(word) for word in arguments)])


def test_a_table_of_our_set_a_foreign_one_and_real_images(run, tmp_path, capsys, monkeypatch):
    ours, out = load(run), tmp_path / "table"
    torch.save({"data": [[ours.prepared, ours.labels]]}, tmp_path / "res_DC.pt")
    command = [run, tmp_path / "res_DC.pt", *SMALL, "--num_networks", 1, "MLP=2", "--test_images", 50, "--out", out]
    assert _main(*command) == 0
    screen = capsys.readouterr().out
    assert "6 of 6" in screen
    report = json.loads((out / "evaluation.json").read_text())
    found = {(cell["set"], cell["network"]): cell for cell in report["cells"]}
    assert {name for name, _ in found} == {"DM", "res_DC", "random real"}
    assert {cell["num_networks"] for (_, network), cell in found.items() if network.startswith("MLP")} == {2}
    assert found["DM", SMALL[1]]["accuracies"] == found["res_DC", SMALL[1]]["accuracies"]  # the same images
    assert {cell["labels"] for cell in report["cells"]} == {"hard"}
    assert str(tmp_path / "data") not in report["command"]
    rows = list(csv.DictReader((out / "evaluation.csv").open()))
    assert len(rows) == 6
    assert (out / "evaluation.md").read_text().count("\n") == 5
    before = (out / "cells.json").read_text()
    assert _main(*command) == 0  # all cells are finished
    assert capsys.readouterr().out.count("(finished before)") == 6
    assert (out / "cells.json").read_text() == before
    assert _main(*command, "--precision", "bf16-mixed") == 0  # other cells
    assert capsys.readouterr().out.count("(finished before)") == 2  # the same images under another name
    assert json.loads((out / "evaluation.json").read_text())["precision"] == "bf16-mixed"
    monkeypatch.setattr("lightning_dd.app.comparing.table.faster_in_bf16", lambda device: False)
    assert _main(*command, "--precision", "bf16-mixed") == 0  # those in float32 once more
    assert capsys.readouterr().out.count("(finished before)") == 6
    assert json.loads((out / "evaluation.json").read_text())["precision"] == "32-true"


def test_a_set_from_a_programs_own_data_is_compared_on_named_data(tmp_path, capsys):
    data = Digits()
    data.setup()
    options = {"ipc": 1, "steps": 1, "evaluation": False, "root": tmp_path / "runs", "network": partial(MLP, width=8)}
    made = dd.distill(data.split("train"), class_names=list(data.class_names), **options)
    made.save(tmp_path / "lr=1" / "distilled.safetensors")
    artifact = f"A={tmp_path / 'lr=1' / 'distilled.safetensors'}"
    assert _main(artifact, *SMALL, "--out", tmp_path / "table") == 1
    assert "from a program's own data: name the same data with --data" in capsys.readouterr().err
    small = "--num_networks", 1, "--test_images", 50, "--no_random_real", "--out", tmp_path / "table"
    assert _main(artifact, *SMALL, "--data", "Digits", *small) == 0


def test_a_set_of_other_classes_is_refused(run, tmp_path, capsys):
    other = load(run)
    other.class_names = ("x", *other.class_names[1:])
    other.save(tmp_path / "other.safetensors")
    assert _main(tmp_path / "other.safetensors", *SMALL, "--out", tmp_path / "table") == 1
    assert "has a class 'x' where digits has" in capsys.readouterr().err


def test_coresets_and_soft_labels_beside(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LIGHTNING_DD_CACHE", str(tmp_path / "cache"))
    beside = ["--coresets", "herding", "--soft_labels", "--feature_epochs", 1, "--num_networks", 1]
    assert _main(f"ours={run}", *SMALL[:2], *SMALL[3:], *beside, "--out", tmp_path / "table") == 0
    cells = json.loads((tmp_path / "table" / "evaluation.json").read_text())["cells"]
    assert [(cell["set"], cell["labels"]) for cell in cells] == [
        ("ours", "hard"),
        ("random real", "hard"),
        ("coreset herding", "hard"),
        ("random real, a network's labels", "soft"),
        ("ours, a network's labels", "soft"),
    ]
    capsys.readouterr()
    again = [f"ours={run}", *SMALL[:2], *SMALL[3:], *beside, "--out", tmp_path / "table", "--data.zca", "mtt"]
    assert _main(*again) == 0  # whitening changes the labels and the choice of that network
    assert capsys.readouterr().out.count("finished before") == 2
    assert _main(*again, "--seed", 1) == 0
    assert "finished before" not in capsys.readouterr().out


@pytest.mark.parametrize("text", ["[]", '{"cells": [{"set": "x"}]}'])
def test_what_lies_in_the_place_of_the_table_and_is_none(text, run, tmp_path):
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "evaluation.json").write_text(text)
    few = ["--num_networks", 1, "--no_random_real", "--test_images", 100_000]
    assert _main(run, *SMALL[:2], *SMALL[3:], *few, "--out", tmp_path / "table") == 0
    assert json.loads((tmp_path / "table" / "evaluation.json").read_text())["test_images"] == 359  # all


def test_scores_of_dd_ranking(run, tmp_path, capsys):
    command = [run, *SMALL[:2], *SMALL[3:], "--num_networks", 1, "--real_accuracy", 90, "--out", tmp_path / "table"]
    assert _main(*command) == 0
    assert "LRS" in capsys.readouterr().out
    report = json.loads((tmp_path / "table" / "evaluation.json").read_text())
    (scores,) = report["scores"]
    assert (scores["set"], scores["network"]) == ("DM", "MLP:width=8")
    assert 0 < scores["lrs"] < 100
    assert len(report["cells"]) == 2  # the table is that of the protocol itself


def test_mistakes_are_sentences(run, tmp_path, capsys):
    torch.save([torch.zeros(2, 1, 4, 4), torch.tensor([0, 1])], tmp_path / "small.pt")
    torch.save([torch.randn(2, 1, 8, 8), torch.tensor([0, 14])], tmp_path / "many.pt")
    for words, arguments in {
        "There is nothing at": [tmp_path / "nowhere"],
        "did you mean ConvNet": [run, "--networks", "Convnet"],
        "VGG11 needs images of at least": [run, "--networks", "VGG11"],
        "8x8; LeNet needs images of": [run, "--networks", "ConvNet:width=4,depth=2", "VGG11", "LeNet"],
        "not among --networks": [run, "--num_networks", "LeNet=3"],
        "cannot be 0": [run, "--test_images", "0"],
        "leave these in": [run, "--real_accuracy", "90", "--no_random_real"],
        "in percent, above 1 and at most 100": [run, "--real_accuracy", "0.9"],
        "of hard labels, not of targets: use common": [run, "--real_accuracy", "90", "--protocol", "frepo"],
        "feature_epochs must be at least 1, got 0": [run, "--feature_epochs", "0"],
        "got -1": [run, "--epochs", "-1"],
        "has no Protocoll; did you mean Protocol": [run, "--protocol", "lightning_dd.evaluation.Protocoll"],
        "Protocol is no protocol: give the path of a": [run, "--protocol", "lightning_dd.evaluation.Protocol"],
        "name the data set with --data": [tmp_path / "small.pt"],
        "has 10 classes of (1, 4, 4) images": [tmp_path / "small.pt", "--data", "Digits"],
        "many.pt: The set has labels of 15 classes": [tmp_path / "many.pt", "--data", "Digits"],
        "There is no data set 'digit'": [run, "--data", "digit"],
        "cannot be read by its name alone": [run, "--data", "FromDataset"],
    }.items():
        assert _main(*arguments, "--out", tmp_path / "table") == 1, words
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1


def test_a_protocol_of_the_users(run, tmp_path, capsys):
    for path, of_a_class_of_theirs in (("tests.evaluation.own.STILL", True), ("tests.evaluation.own.SHORT", False)):
        out = tmp_path / path
        assert _main(run, "--networks", "MLP:width=8", "--protocol", path, "--num_networks", 1, "--out", out) == 0
        assert f"{path} protocol" in capsys.readouterr().out
        kept = json.loads((out / "cells.json").read_text())["cells"].values()
        assert {"rules" in cell["what"] for cell in kept} == {of_a_class_of_theirs}  # whose code may change


def test_sets_that_do_not_say_their_augmentation_are_trained_like_the_others(run, tmp_path):
    """Else a digit of DC, which does not augment, would be mirrored beside one of DM that is not."""
    ours = load(run)
    torch.save([ours.prepared, ours.labels], tmp_path / "none.pt")
    ours.recipe["augmentation"] = None
    ours.save(tmp_path / "dc.safetensors")
    command = [run, f"DC={tmp_path / 'dc.safetensors'}", tmp_path / "none.pt", *SMALL[:2], "--epochs", 2]
    assert _main(*command, "--num_networks", 1, "--out", tmp_path / "table") == 0
    cells = json.loads((tmp_path / "table" / "evaluation.json").read_text())["cells"]
    assert [cell["set"] for cell in cells] == ["DM", "DC", "none", "random real"]  # one for all
    assert cells[0]["accuracies"] == cells[1]["accuracies"] == cells[2]["accuracies"]


def test_pixels_in_a_foreign_file_are_noticed(run, tmp_path, capsys):
    torch.save([torch.rand(10, 1, 8, 8), torch.arange(10)], tmp_path / "pixels.pt")
    command = [tmp_path / "pixels.pt", *SMALL[:2], *SMALL[3:], "--data", "Digits", "--num_networks", 1]
    assert _main(*command, "--out", tmp_path / "table") == 0
    assert "it must hold normalized images, not pixels" in capsys.readouterr().out


def test_how_many_networks():
    networks = ["ConvNet", "ConvNet:norm=none", "VGG11", "VGG11:norm=batch"]
    assert counts_of(networks, ["4"]) == dict.fromkeys(networks, 4)
    counts = counts_of(networks, ["1", "ConvNet=3", "VGG11:norm=batch=2"])
    assert list(counts.values()) == [3, 3, 1, 2]
    for text in ("0", "x", "ConvNet="):
        with pytest.raises(UserError, match="takes a number"):
            counts_of(networks, [text])


def test_foreign_sets_are_normalized_as_published_whatever_stands_beside_them():
    info = {"dataset": "digits", "config": {"data": {"class_path": "lightning_dd.data.Digits"}}}
    info["config"]["data"]["init_args"] = {"normalization": "measured", "held_out": 0.5}
    data = find_data([info], None, "", None, (1, 8, 8))
    assert (data.normalization, data.held_out) == ("published", 0.5)


def test_a_folder_of_images_of_any_size_is_brought_to_that_of_a_foreign_set(tmp_path):
    folder = tmp_path / "photos"
    for name in "ab":
        (folder / name).mkdir(parents=True)
        for side in range(9, 14):
            Image.new("RGB", (side, side)).save(folder / name / f"{side}.png")
    torch.save({"data": [[torch.randn(2, 1, 8, 8), torch.arange(2)]]}, tmp_path / "res_DC.pt")
    command = [tmp_path / "res_DC.pt", "--networks", "MLP:width=8", "--epochs", 1, "--num_networks", 1]
    assert _main(*command, "--data", "ImageFolder", "--data.root", folder, "--out", tmp_path / "table") == 0
    cells = json.loads((tmp_path / "table" / "evaluation.json").read_text())["cells"]
    assert [cell["set"] for cell in cells] == ["res_DC", "random real"]


def test_images_are_tested_on_as_the_artifacts_say(tmp_path):
    folder, options = tmp_path / "photos", {"image_size": 8, "crop": True, "test_fraction": 0.5}
    for name in "ab":
        (folder / name).mkdir(parents=True)
        for side in range(8, 12):
            image = Image.new("RGB", (8, 4 * side))
            image.paste((9, 9, 9), (0, side, 8, 3 * side))
            image.save(folder / name / f"{side}.png")
    infos = [
        {"dataset": "photos", "config": {"data": {"class_path": "lightning_dd.data.ImageFolder", "init_args": given}}}
        for given in (options, {**options, "test_fraction": 0.2}, {**options, "crop": False})
    ]
    for name in (None, "ImageFolder"):
        data = find_data(infos[:1], name, str(folder), None, (3, 8, 8))
        assert len(data.test_labels) == 4
        assert data.test_images.min() > 0  # cut, not squeezed: the black ends are gone
    for other in infos[1:]:
        with pytest.raises(UserError, match=r"The artifacts differ in data\.(test_fraction \(0.2, 0.5\)|crop)"):
            find_data([infos[0], other], None, str(folder), None, (3, 8, 8))


def test_a_table_that_takes_the_place_of_another_says_how_that_is_made(run, tmp_path, capsys):
    command = [*SMALL[:2], *SMALL[3:], "--num_networks", 1, "--no_random_real", "--out", tmp_path / "table"]
    assert _main(f"a|b={run}", *command) == 0
    assert "| a\\|b |" in (tmp_path / "table" / "evaluation.md").read_text()
    assert "The table that was here" not in capsys.readouterr().out
    assert _main(f"other={run}", *command) == 0
    assert "The table that was here had a|b too; its cells are kept, and this shows them: python -m lightning_dd" in (
        capsys.readouterr().out
    )


def test_an_artifact_called_as_the_real_images_beside_it(run, capsys):
    assert _main(f"random real={run}", *SMALL, "--num_networks", 1) == 1
    assert "both called random real" in capsys.readouterr().err
