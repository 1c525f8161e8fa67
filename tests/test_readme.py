"""What stands in the README runs as it stands there."""

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_training_loop(fit, tmp_path, monkeypatch):
    assert fit("--trainer.max_steps", "1", root=tmp_path / "runs") == 0
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"<!-- the loop.*?-->\n```python\n(.*?)```", README, re.DOTALL)
    assert len(code.strip().splitlines()) <= 12
    torch.manual_seed(0)
    names: dict = {}
    first = re.sub(r"range\(20\)", "range(1)", code)
    exec(first, names)
    before = names["loss"].item()
    names = {}
    exec(code, names)
    assert names["loss"].item() < before
    labels = torch.tensor([label for _, label in names["distilled"]])
    assert torch.equal(labels, torch.arange(10))


def test_both_commands_are_there():
    assert "pip install -e . && python -m lightning_dd fit --config configs/quickstart.yaml" in README
    assert re.search(r"^pip install -e '\.\[test\]' && pytest$", README, re.MULTILINE)


@pytest.mark.parametrize("option", sorted(set(re.findall(r"--[a-z]+\.[a-z_.]+[a-z]", README))))
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
                f"lightning_dd.methods.{name}" for name in ("DM", "DC", "DD", "FRePo", "MTT", "Experts", "Coreset")
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
