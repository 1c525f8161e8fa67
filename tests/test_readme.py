"""What stands in the README runs as it stands there."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lightning_dd.app import names
from lightning_dd.artifact.dataset import load
from lightning_dd.comparison.records import TITLES, figure, method_of
from lightning_dd.coresets import random_real
from lightning_dd.data import Digits
from lightning_dd.rng import generator
from tools import results_table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


RUN = "runs/dm_digits_ipc1/version_0"


def test_the_table_of_methods_has_them_all():
    listed = re.findall(r"^\| `(\w+)` \|", README.split("## Methods")[1].split("\n## ")[0], re.MULTILINE)
    assert sorted(listed) == sorted({*names.METHODS} - {"Experts"})


@pytest.fixture(scope="module")
def quick_start(tmp_path_factory) -> Path:
    """The folder in which the quick start has run, its evaluation being of one network."""
    from lightning_dd.app.cli import main

    root, config = tmp_path_factory.mktemp("quick"), str(ROOT / "configs" / "quickstart.yaml")
    options = {"trainer.default_root_dir": str(root / "runs"), "trainer.enable_progress_bar": "false"}
    options |= {"trainer.accelerator": "cpu", "evaluation.num_networks": "1", "evaluation.random_real": "false"}
    assert main(["fit", "--config", config, *(f"--{name}={value}" for name, value in options.items())]) == 0
    return root


def snippet(name: str) -> str:
    (code,) = re.findall(rf"<!-- the {name}.*?-->\n```python\n(.*?)```", README, re.DOTALL)
    return code


def test_the_promised_accuracy_in_one_line(quick_start, monkeypatch, capsys):
    monkeypatch.chdir(quick_start)
    exec(snippet("promise"), names := {})
    (promised,) = names["distilled"].info["evaluations"][0]["accuracies"]
    assert float(capsys.readouterr().out) == pytest.approx(promised, abs=0.01)
    assert promised > 85


def test_the_training_loop(quick_start, monkeypatch):
    monkeypatch.chdir(quick_start)
    distilled, digits = load(RUN), Digits()
    digits.setup()
    rows = random_real(digits.train_labels, 10, 1, generator(0, "readme"))
    replace(distilled, images=digits.train_images[rows] / 255).save("real/distilled.safetensors")
    accuracies = {}
    for folder in (RUN, "real"):
        torch.manual_seed(0)
        exec(snippet("loop").replace(RUN, folder), names := {})
        accuracies[folder] = distilled.evaluate(digits.split("test"), names["network"])
    assert accuracies[RUN] >= 85
    assert accuracies[RUN] >= accuracies["real"] + 10


def test_both_commands_are_there():
    assert "pip install -e . && python -m lightning_dd fit --config configs/quickstart.yaml" in README
    assert re.search(r"^pip install -e '\.\[test\]' && pytest$", README, re.MULTILINE)


def test_each_number_of_the_table_is_that_of_a_record_in_force():
    found = re.findall(r"^\| ([\w-]+), (\d+) \| (.*) \|$", README, re.MULTILINE)
    claimed = [(*row[:2], *each) for row in found for each in re.findall(r"(?<!random )\b(\w+) (\d+\.\d)\b", row[2])]
    known = [record for _, record in results_table.records(ROOT, results_table.MEASURED) if "superseded" not in record]
    rows = {
        (TITLES[record["dataset"]], str(record["ipc"]), method_of(record).split(", ")[-1], figure(last).split()[0])
        for record in known
        for last in record["evaluations"][-1:]
    }
    assert len(claimed) > 20
    assert not set(claimed) - rows


PAGES = "".join(path.read_text() for path in (ROOT / "README.md", *ROOT.glob("*/README.md")))


def test_a_method_of_the_reader(fit, product, tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n# mymethods.py\n(.*?)```", README, re.DOTALL)
    (tmp_path / "mymethods.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert fit("--model", "mymethods.TwoDepths", "--trainer.max_steps", "1") == 0
    assert product(name="twodepths_digits_ipc1").info["method"] == "TwoDepths"


@pytest.mark.parametrize("option", sorted(set(re.findall(r"--[a-z]+\.[a-z_.]+[a-z]", PAGES))))
def test_options_exist(option, fit, capsys):
    from lightning_dd.app.cli import main

    if option.endswith(".help"):
        with pytest.raises(SystemExit) as stop:
            main(["fit", option, "DM" if option == "--model.help" else "ImageFolder"])
        assert stop.value.code == 0
        assert ("real_per_class" if option == "--model.help" else "on_unreadable") in capsys.readouterr().out
        return
    if option.startswith(("--model.", "--data.")):
        from lightning_dd.app.cli_errors import _parameters

        home = {
            "--model": [
                f"lightning_dd.methods.{name}"
                for name in ("DM", "DC", "DD", "FRePo", "MTT", "Experts", "RDED", "Coreset")
            ],
            "--data": ["ImageFolder", "MNIST", "Parquet"],
        }
        paths = home[option.split(".")[0]]
        known = {name for path in paths for name in _parameters(path if "." in path else f"lightning_dd.data.{path}")}
        assert option.split(".")[1] in known
        return
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    assert ".".join(option.split(".")[:2]) in capsys.readouterr().out  # a network's own options come with its name
