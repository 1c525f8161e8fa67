"""Records beside a config: the same run replaces its own entry, a shorter one never a longer one."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
import torch

import record
from lightning_dd.artifact.dataset import DistilledDataset, load
from lightning_dd.artifact.preprocessing import Normalization


def _run(folder: Path, steps: int, accuracy: float, device: str = "cpu", lr: float = 1, networks: int = 5) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    option = f" --model.lr {lr}" if lr else ""
    result = {
        "config": {"model": {"class_path": "DM", "init_args": {"experts": "/somewhere/experts", "lr": lr}}},
        "steps": steps,
        "published_steps": 20_000,
        "command": "python -m lightning_dd fit --config /somewhere/configs/dm/mnist_ipc1.yaml "
        f"--model.experts /somewhere/experts --trainer.default_root_dir /somewhere{option}",
        "evaluations": [{"accuracy_mean": accuracy, "accuracy_std": 0.5, "num_networks": networks}] if accuracy else [],
        "environment": {"device": device},
    }
    (folder / "results.json").write_text(json.dumps(result))
    return folder


def _record(run: Path, config: Path) -> int:
    return record.main([str(run), str(config)])


def test_records(tmp_path):
    config = tmp_path / "configs" / "dm" / "mnist_ipc1.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("# DM: published 89.7 (somewhere). Not run by us yet.\nmodel: DM\n")
    runs = [(300, 80.0, "cpu"), (20000, 90.0, "cpu"), (300, 81.0, "cpu"), (300, 82.0, "gpu")]
    for steps, accuracy, device in runs:
        assert _record(_run(tmp_path / "run", steps, accuracy, device), config) == 0
    first, *rest = config.read_text().splitlines()
    ours = "Ours 90.0 +- 0.5 (20,000 of 20,000 steps, lr 1; cpu)."
    assert "somewhere" not in (config.parent / "mnist_ipc1.results.json").read_text()
    assert (first, rest) == (f"# DM: published 89.7 (somewhere). {ours}", ["model: DM"])
    records = json.loads((config.parent / "mnist_ipc1.results.json").read_text())
    found = [(r["steps"], r["evaluations"][0]["accuracy_mean"], r["environment"]["device"]) for r in records]
    assert {r["command"] for r in records} == {
        "python -m lightning_dd fit --config configs/dm/mnist_ipc1.yaml --model.experts EXPERTS --model.lr 1"
    }
    assert found == [(20000, 90.0, "cpu"), (300, 81.0, "cpu"), (300, 82.0, "gpu")]


def test_of_equally_long_runs_the_one_as_configured_is_first(tmp_path):
    config = tmp_path / "mnist_ipc1.yaml"
    config.write_text("# DM: published 89.7 (somewhere). Not run by us yet.\nmodel: DM\n")
    for lr, accuracy in ((2, 91.0), (0, 89.0), (3, 92.0)):
        assert _record(_run(tmp_path / "run", 300, accuracy, lr=lr), config) == 0
    records = json.loads((tmp_path / "mnist_ipc1.results.json").read_text())
    assert [found["evaluations"][0]["accuracy_mean"] for found in records] == [89.0, 91.0, 92.0]
    ours = "Ours 89.0 +- 0.5 (300 of 20,000 steps; cpu)."
    assert config.read_text().startswith(f"# DM: published 89.7 (somewhere). {ours}\n")


def test_a_run_of_more_networks_is_first_and_that_of_one_has_no_deviation(tmp_path):
    config = tmp_path / "mnist_ipc1.yaml"
    config.write_text("# DM: published 89.7 (somewhere). Not run by us yet.\nmodel: DM\n")
    for lr, accuracy, networks, ours in ((0, 91.0, 1, "91.0 (300"), (2, 89.0, 5, "89.0 +- 0.5 (300")):
        assert _record(_run(tmp_path / "run", 300, accuracy, lr=lr, networks=networks), config) == 0
        assert config.read_text().startswith(f"# DM: published 89.7 (somewhere). Ours {ours}")


def test_a_superseded_run_is_last_however_long(tmp_path):
    config, path = tmp_path / "mnist_ipc1.yaml", tmp_path / "mnist_ipc1.results.json"
    config.write_text("# DM: published 89.7 (somewhere). Not run by us yet.\nmodel: DM\n")
    assert _record(_run(tmp_path / "run", 900, 80.0), config) == 0
    path.write_text(json.dumps([{**json.loads(path.read_text())[0], "superseded": "too high a rate"}]))
    assert _record(_run(tmp_path / "run", 300, 90.0), config) == 0
    assert [found["steps"] for found in json.loads(path.read_text())] == [300, 900]
    assert "Ours 90.0" in config.read_text()


def test_held_out_results_have_a_list_of_their_own(tmp_path):
    config = tmp_path / "mnist_ipc1.yaml"
    config.write_text("# DM: published 89.7 (somewhere). Not run by us yet.\nmodel: DM\n")
    run = _run(tmp_path / "run", 300, 80.0)
    result = json.loads((run / "results.json").read_text())
    result["evaluations"][0]["split"] = "held_out"
    (run / "results.json").write_text(json.dumps(result))
    assert _record(run, config) == 0
    assert "Not run by us yet" in config.read_text()
    assert len(json.loads((tmp_path / "mnist_ipc1.search.json").read_text())) == 1
    assert not (tmp_path / "mnist_ipc1.results.json").exists()


def test_the_set_of_the_first_record_lies_beside_it(tmp_path):
    config = tmp_path / "mnist_ipc1.yaml"
    config.write_text("# DM: published 89.7 (somewhere). Not run by us yet.\nmodel: DM\n")
    for steps in (300, 400, 200):
        run = _run(tmp_path / f"run{steps}", steps, 80.0)
        images = torch.full((2, 1, 4, 4), steps / 1000)
        made = DistilledDataset(images, torch.arange(2), ("a", "b"), Normalization((0.0,), (1.0,)))
        made.save(run / "distilled.safetensors")
        assert _record(run, config) == 0
    file = tmp_path / "mnist_ipc1.safetensors"
    assert load(file).images.unique().item() == pytest.approx(0.4, abs=1e-3)
    records = json.loads((tmp_path / "mnist_ipc1.results.json").read_text())
    assert [found.get("artifact") for found in records] == [sha256(file.read_bytes()).hexdigest(), None, None]


def test_the_set_of_settings_that_were_ruled_out_replaces_none(tmp_path):
    config, path = tmp_path / "mnist_ipc1.yaml", tmp_path / "mnist_ipc1.results.json"
    config.write_text("# DM: published 89.7 (somewhere). Not run by us yet.\nmodel: DM\n")
    runs = {steps: _run(tmp_path / f"run{steps}", steps, 80.0) for steps in (900, 300)}
    for steps, run in runs.items():
        images = torch.full((2, 1, 4, 4), steps / 1000)
        made = DistilledDataset(images, torch.arange(2), ("a", "b"), Normalization((0.0,), (1.0,)))
        made.save(run / "distilled.safetensors")
    assert _record(runs[900], config) == 0
    path.write_text(json.dumps([{**json.loads(path.read_text())[0], "superseded": "too high a rate"}]))
    for steps in (300, 900):
        assert _record(runs[steps], config) == 0
    assert load(tmp_path / "mnist_ipc1.safetensors").images.unique().item() == pytest.approx(0.3, abs=1e-3)
    assert ["artifact" in found for found in json.loads(path.read_text())] == [True, False]


def test_what_the_data_depart_from_is_said_and_an_unpublished_method_has_no_length(tmp_path):
    config, run = tmp_path / "mnist_ipc1.yaml", _run(tmp_path / "run", 300, 80.0)
    config.write_text("# Mine, MNIST. Not run by us yet.\nmodel: DM\n")
    result = json.loads((run / "results.json").read_text()) | {"published_steps": None, "data_departures": ["a fifth"]}
    (run / "results.json").write_text(json.dumps(result))
    assert _record(run, config) == 0
    assert config.read_text().startswith("# Mine, MNIST. Ours 80.0 +- 0.5 (300 steps, a fifth, lr 1; cpu).")


def test_nothing_measured_is_no_record(tmp_path, capsys):
    config = tmp_path / "c.yaml"
    config.write_text("# a config\n")
    assert _record(_run(tmp_path / "run", 5, 0), config) == 1
    assert "no evaluation" in capsys.readouterr().err
    assert _record(tmp_path / "nowhere", config) == 1


def test_runs_in_another_precision_or_of_fewer_networks_replace_nothing(tmp_path):
    config = tmp_path / "mnist_ipc1.yaml"
    config.write_text("# DM: published 89.7 (somewhere). Not run by us yet.\nmodel: DM\n")
    for networks, precision in ((5, "32-true"), (1, "32-true"), (5, "bf16-mixed"), (5, "32-true")):
        run = _run(tmp_path / "run", 300, 80.0, networks=networks)
        result = json.loads((run / "results.json").read_text())
        result["environment"]["precision"] = precision
        (run / "results.json").write_text(json.dumps(result))
        assert _record(run, config) == 0
    assert len(json.loads((tmp_path / "mnist_ipc1.results.json").read_text())) == 3


def test_a_superseded_run_that_is_made_again_stays_superseded(tmp_path):
    config = tmp_path / "mnist_ipc1.yaml"
    config.write_text("# DM: published 89.7 (somewhere). Not run by us yet.\nmodel: DM\n")
    path = tmp_path / "mnist_ipc1.results.json"
    assert _record(_run(tmp_path / "run", 300, 80.0), config) == 0
    path.write_text(json.dumps([{**json.loads(path.read_text())[0], "superseded": "why"}]))
    assert _record(_run(tmp_path / "run", 300, 81.0), config) == 0
    (found,) = json.loads(path.read_text())
    assert (found["superseded"], found["evaluations"][0]["accuracy_mean"]) == ("why", 81.0)


def test_a_set_that_is_too_large_leaves_the_one_before(tmp_path, monkeypatch):
    config = tmp_path / "mnist_ipc1.yaml"
    config.write_text("# DM: published 89.7 (somewhere). Not run by us yet.\nmodel: DM\n")
    small = DistilledDataset(torch.zeros(2, 1, 4, 4), torch.arange(2), ("a", "b"), Normalization([0.5], [0.25]))
    for steps, largest in ((300, record.LARGEST), (400, 10)):
        run = _run(tmp_path / "run", steps, 80.0)
        small.save(run / "distilled.safetensors")
        monkeypatch.setattr(record, "LARGEST", largest)
        assert _record(run, config) == 0
    digest = sha256(config.with_suffix(".safetensors").read_bytes()).hexdigest()
    records = json.loads((tmp_path / "mnist_ipc1.results.json").read_text())
    assert [(found["steps"], found.get("artifact")) for found in records] == [(400, None), (300, digest)]
