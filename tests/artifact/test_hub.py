"""Sets on the hub: the real huggingface_hub against an endpoint on loopback."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

import lightning_dd as dd
from lightning_dd.app import commands
from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.preprocessing import Normalization, Whitening
from lightning_dd.errors import UserError
from tests.artifact.hub_endpoint import READER, WRITER, Hub, running

constants = pytest.importorskip("huggingface_hub.constants")
NORMALIZATION = Normalization([0.5], [0.25])


def _distilled(seed: int = 0, **changes) -> DistilledDataset:
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    parts = {"images": images, "labels": torch.tensor([0, 0, 1, 1]), "class_names": ("cat", "dog")}
    return DistilledDataset(**{**parts, "preprocessing": NORMALIZATION, **changes})


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An endpoint, which the library in this process talks to, with a cache of its own and no token."""
    with running() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        template = f"{found.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield found


def _sentence(call) -> str:
    with pytest.raises(UserError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def _push(distilled: DistilledDataset, name: str = "us/digits", **options) -> str:
    return distilled.push_to_hub(name, token=WRITER, **options)


def test_push_and_load_give_the_same_set(hub: Hub):
    distilled = _distilled(info={"method": "DM", "dataset": "mnist"})
    assert _push(distilled, license="cc-by-4.0").startswith(f"{hub.url}/datasets/us/digits/commit/")
    _, files = hub.files("us/digits", "main")
    assert set(files) == {
        *("distilled.safetensors", "distilled.png", "results.json", "README.md"),
        "data/train-00000-of-00001.parquet",
    }
    assert "dd.load('hf:us/digits')" in files["README.md"].decode()
    again = dd.load("hf:us/digits")
    assert torch.equal(again.images, distilled.images)
    assert torch.equal(again.labels, distilled.labels)
    assert any("lightning-dd/" in agent for agent in hub.agents)


def test_revisions_and_a_whitening_beside_the_set(hub: Hub):
    matrix = torch.eye(64) + 0.01
    whitening = Whitening(NORMALIZATION, torch.zeros(64), matrix, matrix.inverse())
    _push(_distilled(1))
    first = hub.branches["us/digits"]["main"]
    _push(_distilled(2, preprocessing=whitening), branch="whitened")
    _push(_distilled(3))
    for revision, seed in (("@whitened", 2), (f"@{first}", 1), ("", 3)):
        assert torch.equal(dd.load(f"hf:us/digits{revision}").images, _distilled(seed).images)
    assert torch.equal(dd.load("hf:us/digits@whitened").preprocessing.matrix, matrix)
    assert "no revision v9" in _sentence(lambda: dd.load("hf:us/digits@v9"))


def test_a_card_on_the_hub_stays_and_a_pull_request_leaves_the_branch(hub: Hub):
    _push(_distilled())
    hub.commit("us/digits", "main", {"README.md": b"mine"})
    _push(_distilled(1))
    assert hub.files("us/digits", "main")[1]["README.md"] == b"mine"
    before = hub.branches["us/digits"]["main"]
    assert _push(_distilled(2), create_pr=True).endswith("/discussions/1")
    assert hub.branches["us/digits"]["main"] == before
    assert torch.equal(dd.load("hf:us/digits@refs/pr/1").images, _distilled(2).images)


def test_private_sets_want_a_token(hub: Hub, tmp_path):
    _push(_distilled(), private=True)
    said = _sentence(lambda: dd.load("hf:us/digits"))
    assert "no data set us/digits on the hub, or it is private" in said
    assert "give token" in said
    loaded = dd.load("hf:us/digits", token=READER, cache_dir=tmp_path / "elsewhere")
    assert torch.equal(loaded.images, _distilled().images)
    assert any((tmp_path / "elsewhere").iterdir())
    denied = _sentence(lambda: _distilled().push_to_hub("us/digits", token=READER))
    assert "does not give the right to write to us/digits" in denied


def test_what_was_loaded_loads_without_the_network(hub: Hub, monkeypatch):
    _push(_distilled())
    dd.load("hf:us/digits")
    assert torch.equal(dd.load("hf:us/digits", local_files_only=True).images, _distilled().images)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert torch.equal(dd.load("hf:us/digits").images, _distilled().images)
    for call in (
        lambda: dd.load("hf:us/other"),
        lambda: dd.load("hf:us/other", local_files_only=True),
        lambda: _push(_distilled(), "us/other"),
    ):
        assert "cannot be reached" in _sentence(call)


def test_wrong_names_no_token_and_no_set(hub: Hub):
    assert "no data set us/nothing" in _sentence(lambda: dd.load("hf:us/nothing"))
    assert "wanted is organization/name" in _sentence(lambda: dd.load("hf:digits"))
    assert "wanted is organization/name" in _sentence(lambda: dd.load("hf:us/-digits..x"))
    assert "needs a token" in _sentence(lambda: _distilled().push_to_hub("us/digits"))
    _push(_distilled())
    hub.branches["us/digits"]["empty"] = "0" * 40
    assert "has no distilled.safetensors" in _sentence(lambda: dd.load("hf:us/digits@empty"))


def test_without_huggingface_hub_a_sentence_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: dd.load("hf:us/digits"), lambda: _distilled().push_to_hub("us/digits", token=WRITER)):
        assert "pip install 'lightning-dd[hub]'" in _sentence(call)


@pytest.mark.slow
def test_the_commands_push_and_show(hub: Hub, tmp_path, capsys, monkeypatch):
    """The real program, told by `HF_ENDPOINT`."""
    _distilled(info={"method": "DM", "dataset": "mnist"}).save(tmp_path / "run" / "distilled.safetensors")
    told = {"HF_ENDPOINT": hub.url, "HF_TOKEN": WRITER, "HF_HOME": str(tmp_path / "home")}
    words = [sys.executable, "-m", "lightning_dd", "push", str(tmp_path / "run"), "us/pushed", "--private"]
    done = subprocess.run(words, env={**os.environ, **told}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'lightning_dd.load("hf:us/pushed")' in done.stdout
    assert "states no license" in done.stdout
    assert hub.private["us/pushed"]
    monkeypatch.setenv("HF_TOKEN", READER)
    assert commands.main(["show", "hf:us/pushed"]) == 0
    assert "DM on mnist: 4 images of 1x8x8" in capsys.readouterr().out


def test_nothing_of_the_machine_is_uploaded(hub: Hub, tmp_path):
    secret = str(tmp_path / "secret place")
    info = {
        "method": "DM",
        "config": {
            "model": {"class_path": "DM", "init_args": {"experts": f"{secret}/experts"}},
            "data": {"class_path": "MNIST"},
        },
        "command": f"python -m lightning_dd fit --config '{secret}/dm.yaml' --model.experts='{secret}/experts'",
        "data_departures": ["images of ~/mine/cats and C:\\Users\\me\\dogs, see https://example.org/a/b"],
    }
    _push(_distilled(info=info, folder=tmp_path))
    _, files = hub.files("us/digits", "main")
    for name, content in files.items():
        for word in (b"secret", str(tmp_path).encode(), b"mine", b"Users", os.path.expanduser("~").encode()):
            assert word not in content, (name, word)
    kept = dd.load("hf:us/digits").info
    assert kept["command"] == "python -m lightning_dd fit --config dm.yaml --model.experts=experts"
    assert kept["data_departures"] == ["images of cats and dogs, see https://example.org/a/b"]
    assert "experts: experts" in files["config.yaml"].decode()
    assert replace(_distilled(), info=info).info["command"] == info["command"]
