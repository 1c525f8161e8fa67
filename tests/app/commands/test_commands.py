"""The commands that read and list: what they print, and that they import little."""

import os
import subprocess
import sys

import pytest
import torch

import lightning_dd
from lightning_dd.app import commands, configs, names
from lightning_dd.artifact.files import save_tensors
from lightning_dd.artifact.shipped import shipped_sets


def _said(capsys, *words: object) -> str:
    assert commands.main([str(word) for word in words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "unloaded"),
    [
        (["--version"], ("torch", "lightning")),
        (["--help"], ("torch", "lightning")),
        *((["list", kind], ("torch", "lightning")) for kind in ("methods", "configs")),
        *(([name, "--help"], ("torch", "lightning")) for name in ("evaluate", "export", "push")),
        (["fit", "--evaluation.network.help"], ("torch", "lightning")),
    ],
)
def test_what_only_lists_imports_neither_torch_nor_lightning(words, unloaded):
    code = (
        "import sys; from lightning_dd.__main__ import main\n"
        f"sys.argv[1:] = {words}\ntry: main()\nexcept SystemExit: pass\n"
        f"sys.exit(bool(sys.modules.keys() & set({unloaded})))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_version_and_overview(capsys):
    assert _said(capsys, "--version").strip() == lightning_dd.__version__
    overview = _said(capsys)
    assert overview == _said(capsys, "--help")
    assert all(f"\n  {name} " in overview for name in commands.COMMANDS)


def test_unknown_commands(capsys):
    for words, said in {
        "fti": "There is no command 'fti'; did you mean fit?",
        "--config": "A command comes before its options: one of fit, test",
    }.items():
        assert commands.main([words]) == 1
        assert said in capsys.readouterr().err


def test_lists(capsys, fit, tmp_path):
    assert [line.split()[0] for line in _said(capsys, "list", "methods").splitlines()] == list(names.METHODS)
    assert len(_said(capsys, "list", "sets", "--runs", tmp_path).splitlines()) == len(shipped_sets())
    assert "20,000 steps" in _said(capsys, "list", "methods", "mean features")
    assert "3x32x32, 10 classes" in _said(capsys, "list", "data", "cifar10")
    assert "published 48.9" in _said(capsys, "list", "configs", "dm/cifar10_ipc10")
    found = {line.split()[0] for line in _said(capsys, "list", "configs", "cifar10").splitlines()}
    assert {name for name in configs.configs() if "cifar10_" in name} <= found
    assert not any("cifar100" in name for name in found)
    assert _said(capsys, "list", "networks", "vgg").startswith("VGG11 ")
    assert commands.main(["list", "sets", "digits", "--runs", str(tmp_path)]) == 1
    assert "There are no sets with 'digits'" in capsys.readouterr().err
    assert fit("--trainer.max_steps", "1") == 0
    capsys.readouterr()
    assert "DM, digits, 1 per class  not evaluated" in _said(capsys, "list", "sets", "--runs", tmp_path, "digits")


def test_show(capsys, fit, tmp_path):
    assert fit("--trainer.max_steps", "1") == 0
    capsys.readouterr()
    said = _said(capsys, "show", tmp_path / "dm_digits_ipc1")
    for words in ("DM on digits: 10 images of 1x8x8, 1 stored per class", "arXiv 2110.04181", "protocol dm"):
        assert words in said
    assert f"picture        {tmp_path / 'dm_digits_ipc1' / 'version_0' / 'distilled.png'}" in said
    names: dict = {}
    code = said.split("Train on it:")[1].replace("\n  ", "\n").split("for images")[0]
    exec("\n".join(line for line in code.splitlines() if not line.startswith(("network =", "accuracy ="))), names)
    assert len(names["distilled"]) == 10
    assert commands.main(["show", str(tmp_path / "nowhere")]) == 1
    assert "There is nothing at" in capsys.readouterr().err


def test_cache(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_DD_CACHE", str(tmp_path / "cache"))
    assert "0.0 MiB in 0 files" in _said(capsys, "cache")
    tensors = {"images": torch.zeros(2**20, dtype=torch.uint8)}
    save_tensors(tmp_path / "cache" / f"{'a' * 32}.safetensors", tensors)
    save_tensors(tmp_path / "cache" / f"{'b' * 32}.safetensors", {"inverse_matrix": torch.zeros(1)})
    (tmp_path / "cache" / "mine.safetensors").write_text("not ours")
    said = _said(capsys, "cache")
    assert "1.0 MiB in 2 files" in said
    assert "decoded images" in said
    assert "whitening transforms" in said
    assert "`cache clear --days 1` deletes" in _said(capsys, "cache", "--days", 1)
    _said(capsys, "cache", "clear", "--days", 1)
    assert "2 files deleted" in _said(capsys, "cache", "clear")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["mine.safetensors"]


def test_only_what_is_older_is_cleared(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_DD_CACHE", str(tmp_path))
    for letter in "ab":
        save_tensors(tmp_path / f"{letter * 32}.safetensors", {"images": torch.zeros(1)})
    os.utime(tmp_path / f"{'a' * 32}.safetensors", (0, 0))
    assert commands.main(["cache", "clear", "--days", "1"]) == 0
    assert [path.name[0] for path in tmp_path.iterdir()] == ["b"]


def test_help_that_names_no_class_lists_the_choices(capsys):
    assert "ResNet18" in _said(capsys, "fit", "--evaluation.network.help")
    with pytest.raises(SystemExit) as stop:
        commands.main(["fit", "--model.help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert "matches gradients, class by class" in said
    assert "--model.lr" in said


def test_help_of_fit_has_our_options_first(capsys):
    with pytest.raises(SystemExit):
        commands.main(["fit", "--help"])
    said = capsys.readouterr().out
    order = [said.index(words) for words in ("--config", "--model ", "--data ", "--evaluation.epochs", "--trainer.")]
    assert order == sorted(order)
    assert "known subclasses" not in said.split("--trainer.")[0]
    assert said.startswith("usage: python -m lightning_dd fit --config NAME [options]\n\nLearn synthetic images")
