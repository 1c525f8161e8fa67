"""The page of a run: whole in itself, with everything that the run's folder holds."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from lightning_dd.app import commands
from lightning_dd.app.reports.page import page
from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.preprocessing import Normalization

NAMES = ("T-shirt/top", "<b>bag</b>")


def _evaluation(step: int, accuracy: float) -> dict:
    return {
        "step": step,
        "network": "ConvNet",
        "protocol": "dm",
        "epochs": 1000,
        "split": "test",
        "num_networks": 2,
        "accuracy_mean": accuracy,
        "accuracy_std": 1.25,
        "random_real_mean": 40.0,
        "random_real_std": 2.0,
    }


def _run(folder: Path, ipc: int = 1, evaluations: tuple[dict, ...] = (), **changes) -> Path:
    folder.mkdir(parents=True)
    labels = torch.arange(2).repeat_interleave(ipc)
    images = torch.rand(2 * ipc, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    info = {"method": "DM", "paper": "A paper & more"}
    DistilledDataset(images, labels, NAMES, Normalization([0.5] * 3, [0.2] * 3), info=info).save(
        folder / "distilled.safetensors"
    )
    record = {
        "method": "DM",
        "dataset": "fashion_mnist",
        "ipc": ipc,
        "config": {"model": {"init_args": {"lr": 1.0}}},
        "command": "python -m lightning_dd fit --data.root DATA",
        "steps": 300,
        "published_steps": 20000,
        "evaluations": list(evaluations),
        "cost": {"seconds": 300.0, "seconds_per_step": 0.5, "seconds_loss": None, "peak_memory_bytes": 2**30},
        "environment": {"device": "a CPU", "torch": "2.15"},
    }
    (folder / "results.json").write_text(json.dumps({**record, **changes}))
    return folder


class _Balanced(HTMLParser):
    """Every tag that opens is closed, in order."""

    VOID = ("meta", "img", "br", "path", "use")

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def _text(page: str) -> str:
    parser = _Balanced()
    parser.feed(page)
    assert parser.open == []
    return " ".join(" ".join(parser.text).split())


def test_networks_trained_beforehand_count(tmp_path):
    cost = {"seconds": 300.0, "seconds_before": 600.0, "peak_memory_bytes": 2**30}
    overview = page([_run(tmp_path / name, cost=cost) for name in "ab"]).split("</header>")[0]
    assert overview.count("15 min") == 2


def test_a_page_of_one_run(tmp_path):
    run = _run(tmp_path / "dm" / "version_0", evaluations=(_evaluation(100, 60.0), _evaluation(300, 71.2)))
    assert commands.main(["report", str(run), "--out", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text()
    text = _text(page)
    for words in (
        "DM on Fashion-MNIST",
        "71.2 ± 1.2",
        "40.0 ± 2.0",
        "T-shirt/top",
        "<b>bag</b>",  # as text
        "A paper & more",
        "Accuracy over steps",
        "5 min",
        "1.00 GiB",
        "dd.load(",
        "lr: 1.0",
        "300 (20,000)",
        "python -m lightning_dd fit --data.root DATA",
    ):
        assert words in text, words
    assert page.count("data:image/png;base64,") == 2
    assert "<svg" in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)  # nothing outside the page


def test_the_heat_map_of_other_architectures(tmp_path):
    run = _run(tmp_path / "version_0")
    cells = [
        {"set": "DM", "labels": "hard", "ipc": 1, "network": network, "accuracy_mean": mean, "accuracy_std": 0.5}
        for network, mean in (("ConvNet", 60.0), ("AlexNet:norm=batch", 30.0))
    ]
    table = {"protocol": "common", "epochs": 100, "cells": [{**cell, "num_networks": 1} for cell in cells]}
    assert "Other architectures" not in page([run])
    (run / "evaluation.json").write_text(json.dumps(table))
    text = _text(page([run]))
    assert "Other architectures" in text
    assert "AlexNet norm=batch" in text
    (tmp_path / "table").mkdir()
    (run / "evaluation.json").rename(tmp_path / "table" / "evaluation.json")
    assert "protocol common" in _text(page([run], tmp_path / "table"))


def test_many_images_are_shown_in_rows_of_ten(tmp_path):
    text = page([_run(tmp_path / "version_0", ipc=12)])
    assert "The first 10 of 12 images of each class." in _text(text)
    assert "Not evaluated." in _text(text)
    assert text.count("data:image/png;base64,") == 2


def test_later_tests_and_the_rule_of_a_coreset(tmp_path):
    config = {"model": {"init_args": {"selection": "herding"}}}
    run = _run(tmp_path / "version_0", evaluations=(_evaluation(1, 60.0),), method="Coreset", config=config)
    assert "Tested again" not in page([run])
    again = {**_evaluation(1, 18.9), "network": "AlexNet", "protocol": "common"}
    tested = {"evaluations": [_evaluation(1, 60.0), again]}  # the run's own, which its checkpoint brought, and another
    (run / "test_results.json").write_text(json.dumps([tested]))
    text = _text(page([run]))
    assert "Coreset, herding on Fashion-MNIST" in text
    assert "Tested again" in text
    assert "2 x AlexNet common, 1000 epochs" in text
    other = page([_run(tmp_path / "other", evaluations=(_evaluation(1, 60.0),))])
    assert text.count("60.0") == _text(other).count("60.0")


def test_several_runs(tmp_path):
    text = page([_run(tmp_path / "a" / "version_0"), _run(tmp_path / "b" / "version_0", method="DC")])
    assert "<title>DM, DC - " in text
    assert text.count('<article class="run"') == 2


def test_several_runs_are_compared_first(tmp_path):
    """A table with links to the runs, and one curve a run whose evaluations know when they were made."""
    timed = [{**_evaluation(step, 50.0 + step / 10), "spent": {"seconds": 0.6 * step}} for step in (100, 200)]
    counted = [{**entry, "spent": {**entry["spent"], "operations": 10**13 * entry["step"]}} for entry in timed]
    first = _run(tmp_path / "a", evaluations=tuple(timed))
    second = _run(tmp_path / "b", method="DC", evaluations=(_evaluation(9, 60.0),))
    assert "PFLOP" not in page([first, second])
    third = _run(tmp_path / "c", method="DSA", evaluations=tuple(counted))
    text = page([first, second, third])
    overview, rest = text.split("</header>")
    assert overview.count("<tr>") == 4
    words = _text(f"{overview}</header></main></body></html>")
    for part in (
        "1. DM, Fashion-MNIST",
        "70.0 ± 1.2",
        "+30.0",
        "2. DC, Fashion-MNIST",
        "5 min",
        "minutes of distilling",
        "PFLOP, networks trained beforehand included",
    ):
        assert part in words, part
    assert 'href="#run2"' in overview
    assert 'id="run2"' in rest
    assert "Accuracy over time" in rest


def test_held_out_accuracies_are_called_so_and_join_no_curve_of_test_accuracies(tmp_path):
    chosen = {**_evaluation(100, 60.0), "split": "held_out"}
    first = _run(tmp_path / "a", evaluations=(chosen,))
    second = _run(tmp_path / "b", evaluations=(chosen, _evaluation(200, 50.0)))
    text = page([first, second])
    assert "60.0 ± 1.2, held-out images" in text
    assert "50.0 ± 1.2, held-out" not in text
    assert "Accuracy over" not in text


@pytest.mark.parametrize("content", [None, "{"])
def test_what_is_no_run_is_refused(content, tmp_path, capsys):
    if content:
        (tmp_path / "results.json").write_text(content)
    assert commands.main(["report", str(tmp_path), "--out", str(tmp_path / "report.html")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "report.html").exists()
    assert "--evaluation" not in error


def test_the_folder_of_a_table_is_no_run(tmp_path, capsys):
    (tmp_path / "evaluation.json").write_text("{}")
    assert commands.main(["report", str(tmp_path), "--out", str(tmp_path / "report.html")]) == 1
    assert "no run but a table: it is given as --evaluation FOLDER" in capsys.readouterr().err
