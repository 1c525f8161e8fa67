"""Distilled sets that come with the program."""

import json
from hashlib import sha256

import pytest
import torch

import lightning_dd as dd
from lightning_dd.app.commands import list as listing
from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.preprocessing import Normalization
from lightning_dd.artifact.shipped import shipped_sets
from lightning_dd.errors import UserError

LARGEST_IN_ALL = 20_000_000  # bytes


def test_a_set_is_found_by_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    made = DistilledDataset(images, torch.arange(2), ("a", "b"), Normalization((0.0,), (1.0,)))
    made.save(tmp_path / "configs" / "mine" / "letters_ipc1.safetensors", half=True)
    found = dd.load("mine/letters_ipc1")
    assert torch.equal(found.images, images.half().float())
    assert listing.main(["sets", "mine"]) == 0
    assert capsys.readouterr().out.startswith("mine/letters_ipc1 ")
    with pytest.raises(UserError, match="nothing at mine/letters_ipc2"):
        dd.load("mine/letters_ipc2")


def test_every_set_loads_and_is_that_of_its_record():
    sets = shipped_sets()
    for name, path in sets.items():
        records = json.loads(path.with_suffix(".results.json").read_text())
        (record,) = (record for record in records if "artifact" in record)
        assert sha256(path.read_bytes()).hexdigest() == record["artifact"], name
        distilled = dd.load(name)
        assert (distilled.info["method"], distilled.ipc) == (record["method"], record["ipc"]), name
    assert sum(path.stat().st_size for path in sets.values()) < LARGEST_IN_ALL
