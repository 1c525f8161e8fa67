"""Configs are found by name: in the current folder, then in the checkout."""

from pathlib import Path

import pytest

from lightning_dd.app import configs
from lightning_dd.app.cli import main


def test_by_name_by_path_and_as_it_stands_in_the_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = configs.find("dm/cifar10_ipc10")
    assert found.is_file()
    assert configs.find("configs/dm/cifar10_ipc10.yaml") == configs.find("dm/cifar10_ipc10.yaml") == found
    assert configs.find(str(found)) == found
    assert configs.find("dm/nothing") is None
    (tmp_path / "configs" / "dm").mkdir(parents=True)
    (tmp_path / "configs" / "dm" / "cifar10_ipc10.yaml").touch()
    assert configs.find("dm/cifar10_ipc10") == Path("configs/dm/cifar10_ipc10.yaml")


def test_in_commands():
    path = str(configs.find("quickstart"))
    for words in (["--config", "quickstart"], ["--config=quickstart"], ["-c", "quickstart"]):
        assert "=".join(configs.with_paths(["fit", *words])).endswith(path)
    assert configs.with_paths(["fit", "--config", "nothing", "-c"]) == ["fit", "--config", "nothing", "-c"]


def test_unknown_ones_are_named(capsys):
    assert main(["fit", "--config", "quickstrat"]) == 1
    assert "There is no config quickstrat; did you mean quickstart." in capsys.readouterr().err


@pytest.mark.parametrize("name", ["configs/", ".", "/", ""])
def test_a_folder_is_no_config(name):
    assert configs.find(name) is None
