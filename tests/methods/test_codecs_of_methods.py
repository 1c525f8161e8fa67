"""Every method with images that are stored otherwise than they are trained on."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from lightning_dd.app import names
from lightning_dd.app.cli import main
from lightning_dd.artifact.dataset import load

CONF = Path(__file__).parents[1] / "conf"
TILES = ["--model.codec", "Tiles", "--model.codec.factor", "2"]
FREQUENCIES = ["--model.codec", "Frequencies", "--model.codec.keep", "20"]
METHODS = {
    "DM": "dm",
    "DC": "dc",
    "DSA": "dsa",
    "MTT": "mtt",
    "DATM": "mtt",
    "TESLA": "mtt",
    "FRePo": "frepo",
    "KIP": "kip",
}
METHODS |= {"DD": "dd", "RaTBPTT": "dd", "Coreset": "dm"}
METHODS |= dict.fromkeys(("IDC", "DREAM", "AccDD"), "dc")
METHODS |= dict.fromkeys(("DANCE", "DSDM", "IDM", "NCFM", "DataDAM"), "dm")
PRETRAINED = ["--model.num_networks", "2", "--model.network_epochs", "1"]
OPTIONS = {
    "FRePo": ["--model.lr_decay", "1"],  # it would depend on the length of the run
    "DANCE": PRETRAINED,
    "NCFM": [*PRETRAINED, "--model.frequencies", "16"],
    "IDC": ["--model.n_data", "48", "--model.synthetic_per_class", "6"],
    "DSDM": [*PRETRAINED, "--model.history_from", "1"],
    "IDM": ["--model.every", "2", "--model.network_steps", "2"],
    "DREAM": ["--model.n_data", "48", "--model.every", "2", "--model.feature_epochs", "1"],
    "AccDD": ["--model.n_data", "48", *PRETRAINED],
    "DATM": ["--model.largest_loss", "null"],
    "RaTBPTT": ["--model.window", "2", "--model.augmentation", "null"],
}
SLOW = ("DSA", "DATM", "TESLA", "RaTBPTT", "DREAM", "AccDD", "NCFM", "DSDM", "DataDAM")
"""Methods whose steps are those of others here, but for what their own tests show."""
CASES = [pytest.param(method, TILES, marks=[pytest.mark.slow] if method in SLOW else []) for method in METHODS]
CASES += [("DM", FREQUENCIES), pytest.param("MTT", FREQUENCIES, marks=pytest.mark.slow)]


def test_no_method_is_left_out():
    """RDED and experts have no steps to resume."""
    assert {*METHODS, "RDED", "Experts"} == {*names.METHODS}


def _run(method: str, codec: list[str], experts: Path, root: Path, *options: str) -> int:
    config = CONF / f"{METHODS[method]}_digits.yaml"
    if method == "Coreset":
        start = ["fit", "--model", "Coreset", "--model.ipc", "1", "--data", "Digits", "--evaluation.enabled", "false"]
    else:
        start = ["fit", "--config", str(config), "--model", method]
    folders = ["--trainer.default_root_dir", str(root), "--trainer.enable_progress_bar", "false"]
    folders += ["--model.experts", str(experts)] if METHODS[method] == "mtt" else []
    return main([*start, *folders, *OPTIONS.get(method, []), *codec, *options])


@pytest.mark.parametrize(("method", "codec"), CASES, ids=lambda value: value if isinstance(value, str) else value[1])
def test_runs_resumes_and_stores_its_budget(method, codec, experts, tmp_path):
    assert _run(method, codec, experts, tmp_path / "a") == 0
    if method != "Coreset":
        assert _run(method, codec, experts, tmp_path / "b", "--trainer.max_steps", "2") == 0
        assert _run(method, codec, experts, tmp_path / "b", "--ckpt_path", "last") == 0
    paths = sorted(tmp_path.glob("*/*/version_0/distilled.safetensors"))
    sets = [load(path) for path in paths]
    assert torch.equal(sets[0].images, sets[-1].images)
    assert torch.equal(sets[0].labels, sets[-1].labels)
    with safe_open(paths[0], "pt") as file:
        stored = [file.get_tensor(name) for name in file.keys() if name == "codec.images"]  # noqa: SIM118
        description = json.loads(file.metadata()["description"])
    budget = 10 * sets[0].ipc * 64
    assert sum(tensor.numel() for tensor in stored) == sets[0].stored["images"] <= budget
    assert description["codec"]["kind"] == codec[1]
    assert len(sets[0]) == len(sets[0].labels) == 10 * sets[0].images_per_class
    assert sets[0].images_per_class == sets[0].ipc * (4 if codec is TILES else 64 / 20) // 1


def test_random_real_images_are_coded_too(experts, tmp_path):
    options = ["--evaluation.enabled", "true", "--trainer.max_steps", "1"]
    assert _run("DM", TILES, experts, tmp_path, *options) == 0
    (record,) = json.loads(next(tmp_path.rglob("results.json")).read_text())["evaluations"]
    assert record["random_real_mean"] > 0
    assert record["random_coded_mean"] > 0


def test_frequencies_take_no_whitened_images(experts, tmp_path, capsys):
    assert _run("DM", FREQUENCIES, experts, tmp_path, "--data.zca", "mtt", "--data.cache", "false") == 1
    assert "--model.codec Frequencies takes no whitened images: leave --data.zca out" in capsys.readouterr().err
