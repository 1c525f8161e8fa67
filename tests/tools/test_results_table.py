"""The results page's table comes from the records."""

import json
import shutil
from pathlib import Path

import pytest

import costs
import cross_architecture
import curves
import method_status
import results_page
import results_table
import speedrun
from lightning_dd.comparison import records

ROOT = Path(__file__).resolve().parents[2]


def _record(**changes) -> dict:
    record = {
        "method": "DM",
        "dataset": "cifar10",
        "data_departures": ["JPEG copies"],
        "ipc": 10,
        "command": "python -m lightning_dd fit --config configs/dm/cifar10_ipc10.yaml --data.root DATA "
        "--trainer.max_steps 300 --model.real_per_class 64",
        "steps": 300,
        "published_steps": 20_000,
        "evaluations": [
            {
                "network": "ConvNet",
                "protocol": "dm",
                "num_networks": 5,
                "accuracy_mean": 47.94,
                "accuracy_std": 0.26,
                "random_real_mean": 31.0,
                "random_real_std": 0.5,
                "seconds": 60.0,
            }
        ],
        "cost": {"seconds": 120.0},
        "environment": {"device": "some device"},
    }
    return {**record, **changes}


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "configs" / "dm"
    folder.mkdir(parents=True)
    first = "# DM, CIFAR-10, 10 images per class: published 48.9 +- 0.6 (somewhere). Ours ..."
    (folder / "cifar10_ipc10.yaml").write_text(first + "\n")
    (folder / "cifar10_ipc10.results.json").write_text(json.dumps([_record()]))
    return tmp_path


def test_a_row(root):
    assert results_table.table(root).splitlines()[-1] == (
        "| [DM](dm/cifar10_ipc10.yaml) | 10 | [47.9 ± 0.3](dm/cifar10_ipc10.results.json) "
        "| 31.0 ± 0.5 | - | 48.9 ± 0.6 | reproduced, -1.0 | 5 x ConvNet, `dm` "
        "| 300 (20,000), JPEG copies, `real_per_class 64` | - | 2 + 1, some device |"
    )


def test_operations_are_those_of_networks_trained_beforehand_too(root):
    record = _record()
    for spent, shown in (
        ({"operations": 2 * 10**14, "operations_before": 10**14}, "0.3"),
        ({"operations": 2 * 10**14}, "0.2"),
        ({"operations": 2 * 10**14, "operations_before": None}, "-"),
        ({"operations": None, "operations_before": 10**14}, "-"),
    ):
        record["evaluations"][0]["spent"] = {"seconds": 60.0, **spent}
        (root / "configs" / "dm" / "cifar10_ipc10.results.json").write_text(json.dumps([record]))
        assert results_table.table(root).splitlines()[-1].endswith(f" | {shown} | 2 + 1, some device |")


def test_a_row_stands_for_each_config_and_it_is_not_the_most_accurate(root):
    many = [_record(steps=steps, command=f"fit --model.lr {lr}") for lr, steps in enumerate((300, 300, 200))]
    for record, accuracy in zip(many, (47.0, 48.0, 49.0), strict=True):
        record["evaluations"] = [{**record["evaluations"][0], "accuracy_mean": accuracy}]
    (root / "configs" / "dm" / "cifar10_ipc10.results.json").write_text(json.dumps(many))
    shown, others = results_table.table(root).split("<details>")
    assert "`lr 0`" in shown  # of as many steps the first in the file
    assert "`lr 1`" not in shown
    assert others.index("`lr 1`") < others.index("`lr 2`")


def test_a_superseded_run_does_not_stand_for_its_config_and_says_why(root):
    records = [_record(steps=900, superseded="a lower rate was better on held-out images"), _record(steps=300)]
    (root / "configs" / "dm" / "cifar10_ipc10.results.json").write_text(json.dumps(records))
    shown, others = results_table.table(root).split("<details>")
    assert "| 300 (" in shown
    assert "superseded: a lower rate was better on held-out images" in others


def test_a_set_beside_its_record_has_a_link(root):
    (root / "configs" / "dm" / "cifar10_ipc10.results.json").write_text(json.dumps([_record(artifact="0123")]))
    row = results_table.table(root).splitlines()[-1]
    assert row.startswith("| [DM](dm/cifar10_ipc10.yaml), [set](dm/cifar10_ipc10.safetensors) |")


def test_herding_of_as_many_images_stands_beside(root):
    folder = root / "configs" / "coreset"
    folder.mkdir()
    for ipc, accuracy in ((1, 20.0), (10, 33.3)):
        record = _record(method="Coreset", ipc=ipc, config={"model": {"init_args": {"selection": "herding"}}})
        record["evaluations"][0].update(accuracy_mean=accuracy, protocol="dc")
        (folder / f"cifar10_ipc{ipc}_herding.yaml").write_text("# published 31.6 +- 0.7 (somewhere).\n")
        (folder / f"cifar10_ipc{ipc}_herding.results.json").write_text(json.dumps([record]))
    rows = results_table.table(root).splitlines()
    assert rows[-2].startswith("| [Coreset, herding](coreset/cifar10_ipc10_herding.yaml) | 10 |")
    assert "| 31.0 ± 0.5 | 33.3 ± 0.3 | 48.9 ± 0.6 |" in rows[-1]


def test_a_short_config_says_so(root):
    for path in (root / "configs" / "dm").iterdir():
        path.rename(path.with_name(path.name.replace("ipc10", "ipc10_short")))
    assert "| 300 (20,000), JPEG copies, settings scaled down, `real_per_class 64` |" in results_table.table(root)


def test_a_run_that_went_on_has_the_methods_options_of_its_first_command_and_others_of_its_last():
    start, data = "python -m lightning_dd fit --config c.yaml", "--data.root DATA"
    commands = [
        f"{start} --model.lr 1 --evaluation.epochs 5 --trainer.precision 64-true {data}",
        f"{start} --model.lr 2 --evaluation.epochs 3 --evaluation.epochs 9 --trainer.precision 64-true {data} "
        "--ckpt_path last",
    ]
    found = results_table.changed_options(records.commands(_record(commands=commands)))
    assert found == ["`lr 1`", "`trainer.precision 64-true`", "`evaluation.epochs 9`"]


def test_a_config_without_a_published_number(root):
    (root / "configs" / "dm" / "cifar10_ipc10.yaml").write_text("# DM: nothing published.\n")
    assert "| 31.0 ± 0.5 | - | - | - |" in results_table.table(root)


def test_rows_are_sorted_by_data_then_images_then_method(root):
    path = root / "configs" / "dm" / "cifar10_ipc10.results.json"
    path.write_text(json.dumps([_record(), _record(dataset="mnist"), _record(ipc=1), _record(ipc=1, method="DC")]))
    lines = results_table.table(root).splitlines()
    rows = [line.split(" | ")[:2] for line in lines if line.startswith(("### ", "| ["))]
    assert [(row[0].strip("| [").split("]")[0], *row[1:]) for row in rows] == [
        ("### MNIST",),
        ("DM", "10"),
        ("### CIFAR-10",),
        ("DC", "1"),
        ("DM", "1"),
        ("DM", "10"),
    ]


@pytest.mark.parametrize(
    ("accuracy", "deviation", "published", "status"),
    [
        (47.0, 0.2, "48.9 +- 0.6", "reproduced, -1.9"),
        (46.6, 0.2, "48.9 +- 0.6", "short by 2.3 at 1.5 % of the steps"),
        (46.6, 0.7, "48.9 +- 0.6", "reproduced, -2.3"),
        (60.0, 0.2, "48.9", "reproduced, +11.1"),
        (60.0, 0.2, "-", "-"),
    ],
)
def test_reproduced_is_within_a_point_and_two_deviations(accuracy, deviation, published, status):
    record = _record()
    record["evaluations"][0].update(accuracy_mean=accuracy, accuracy_std=deviation)
    assert results_table.status(record, published) == status


def test_one_step_has_no_share_of_the_steps():
    record = _record(steps=1, published_steps=1)
    assert results_table.status(record, "60.0 +- 0.2") == "short by 12.1"


@pytest.mark.parametrize("other", ["protocol", "ipc"])
def test_another_protocol_or_number_of_images_has_no_published_rival(other, root):
    record = _record(ipc=50 if other == "ipc" else 10)
    record["evaluations"][0]["protocol"] = "common" if other == "protocol" else "dm"
    path = root / "configs" / "dm" / "cifar10_ipc10.results.json"
    path.write_text(json.dumps([record]))
    assert "| 31.0 ± 0.5 | - | - | - |" in results_table.table(root)
    assert method_status.status_table(root).splitlines()[2:] == ["| DM | 1 | 0 | - | 1 |"]


def test_what_was_tried_on_held_out_images_has_a_table_of_its_own(root):
    path = root / "configs" / "dm" / "cifar10_ipc10.search.json"
    tried = [_record(steps=steps) for steps in (100, 200)]
    for record, accuracy in zip(tried, (40.0, 45.0), strict=True):
        record["evaluations"][0].update(accuracy_mean=accuracy, epochs=300, random_real_mean=accuracy - 10)
        record["evaluations"][0].update(random_coded_mean=accuracy - 5, random_coded_std=1.0)
        record["cost"]["seconds_before"] = 60.0
    path.write_text(json.dumps(tried))
    row = "| CIFAR-10 | 10 | [DM](dm/cifar10_ipc10.yaml) | `real_per_class 64` | {} | 3 | 5 x 300, `dm` | {} |"
    spread = tried[0]["evaluations"][0]["random_real_std"]
    best = f"45.0 ± 0.3 | 35.0 ± {spread} | 40.0 ± 1.0", f"40.0 ± 0.3 | 30.0 ± {spread} | 35.0 ± 1.0"
    assert results_table.search_table(root).splitlines()[2:] == [row.format(200, best[0]), row.format(100, best[1])]
    assert len(results_table.table(root).splitlines()) == 5


def test_the_status_of_a_method_counts_its_published_numbers(root):
    folder = root / "configs" / "dm"
    for name, published in (("cifar10_ipc1", "26.0 +- 0.8"), ("mnist_ipc10", "97.3 +- 0.3"), ("mnist_ipc50", "none")):
        (folder / f"{name}.yaml").write_text(f"# DM, somewhere: published {published}.\n")
    (folder / "mnist_ipc10.results.json").write_text(json.dumps([_record(), _record(steps=2000)]))
    assert method_status.status_table(root).splitlines()[2:] == [
        "| DM | 3 | 1 | MNIST [ipc10](dm/mnist_ipc10.yaml) by 49.4 at 10 % of the steps | 1 |"
    ]
    better = _record()
    better["evaluations"][0]["accuracy_mean"] = 97.0
    (folder / "mnist_ipc10.results.json").write_text(json.dumps([better, _record()]))
    assert method_status.status_table(root).splitlines()[2:] == ["| DM | 3 | 2 | - | 1 |"]
    (folder / "mnist_ipc10.results.json").write_text(json.dumps([_record(), better]))  # never the most accurate
    assert " by 49.4 " in method_status.status_table(root)


def test_the_page_has_the_tables_of_the_records():
    page = (ROOT / "configs" / "README.md").read_text()
    assert results_page.with_tables(page, ROOT) == page


def test_a_chart_shows_what_each_run_of_a_task_cost(root):
    spent = {"seconds": 60.0, "operations": 10**14, "seconds_before": 30.0, "operations_before": 2 * 10**14}
    counted, compiled = _record(), _record()
    for record, found in ((counted, spent), (compiled, {**spent, "operations": None})):
        record["evaluations"][0]["spent"] = found
    assert curves.over_minutes(_record()) == [(2.0, 47.94, 0.26)]  # of the record's cost
    assert curves.over_minutes(counted) == curves.over_minutes(compiled) == [(1.5, 47.94, 0.26)]
    assert curves.over_operations(counted) == [(pytest.approx(0.3), 47.94, 0.26)]
    assert curves.over_operations(compiled) == curves.over_operations(_record()) == []
    for number, folder in enumerate(("dc", "dsa", "idm"), 2):
        assert curves.charts(root) == ""  # so few are no chart
        shutil.copytree(root / "configs" / "dm", root / "configs" / folder)
        assert len(curves.tasks(root)) == number // 4
    curves.draw(root)
    (picture,) = (root / "configs").glob("*.png")
    assert f"({picture.name})" in curves.charts(root)


def test_a_speedrun_is_the_first_step_at_which_the_mean_of_three_seeds_reaches_the_mark(root):
    path = root / "configs" / "dm" / "cifar10_ipc10.results.json"
    runs = []
    for seed, accuracies in enumerate(((48.0, 55.0, 59.0), (49.0, 56.0, 60.0), (52.0, 51.0, 62.0))):
        record = _record(seed=seed, command=f"fit --config x --seed_everything {seed} --model.lr 2")
        spent = {"seconds": 60.0, "operations": None, "seconds_before": 30.0}
        record["evaluations"] = [
            {**record["evaluations"][0], "step": 100 * number, "accuracy_mean": accuracy, "spent": spent}
            for number, accuracy in enumerate(accuracies, 1)
        ]
        runs.append(record)
    path.write_text(json.dumps(runs[:2]))
    assert "| 50 % | - |" in speedrun.speedrun_table(root)
    others = [{**runs[2], "superseded": "why"}, {**runs[2], "steps": 500}, {**runs[1], "command": runs[1]["command"]}]
    others.append({**runs[2], "command": f"{runs[2]['command']} --data.held_out 0.1"})
    path.write_text(json.dumps([*runs[:2], *others]))  # none is a third run that differs in its seed alone
    assert "| 50 % | - |" in speedrun.speedrun_table(root)
    path.write_text(json.dumps(runs))
    method = "[DM](dm/cifar10_ipc10.yaml) | `lr 2`"
    assert speedrun.speedrun_table(root).splitlines()[2:] == [
        f"| 50 % | 1.5 | 54.0 | {method} | 200 | 3 x 5 | `dm` | some device |",
        f"| 60 % | 1.5 | 60.3 | {method} | 300 | 3 x 5 | `dm` | some device |",
        "| 65 % | - | - | - | - | - | - | - | - |",
    ]


def test_options_with_an_equals_sign_are_options_too():
    words = ["fit", "--model.lr=0.5", "--trainer.max_steps=100", "--data.root", "DATA"]
    assert results_table.options_but(words, ("--data.root",)) == [("--model.lr", "0.5"), ("--trainer.max_steps", "100")]


def test_costs_are_a_row_for_each_method(tmp_path):
    assert costs.cost_table(tmp_path) == "Not measured yet."
    (tmp_path / "configs" / "costs").mkdir(parents=True)
    (tmp_path / "configs" / "costs" / "cost.csv").write_text(
        "method,ipc,status,seconds_per_step,seconds_loss,peak_memory_bytes\n"
        "DM,1,measured,0.5123,0.4987,1073741824\nDM,10,measured,2,,2147483648\n"
        'MTT,1,"would take 9 minutes, not tried",,,\nMTT,10,"would need 40.0 GiB of memory, not tried",,,\n'
    )
    lines = costs.cost_table(tmp_path).splitlines()
    assert lines[0] == "| method | 1 per class | 10 per class |"
    assert lines[2] == "| DM | 0.512 / 0.499 s, 1.0 GiB | 2 / - s, 2.0 GiB |"
    assert lines[3] == "| MTT | too long | too large |"


def test_the_cross_architecture_table_and_its_heat_map(tmp_path):
    assert cross_architecture.cross_table(tmp_path) == "Not measured yet."
    cross_architecture.draw(tmp_path)
    folder = tmp_path / "configs" / "cross_architecture"
    folder.mkdir(parents=True)
    cell = {"set": "DM", "labels": "hard", "ipc": 10, "network": "ConvNet:norm=none", "accuracies": [40.0, 42.0]}
    cells = [cell, {**cell, "network": "AlexNet", "accuracies": [38.5]}, {**cell, "set": "DC"}]
    (folder / "evaluation.json").write_text(json.dumps({"cells": cells}))
    lines = cross_architecture.cross_table(tmp_path).splitlines()
    assert lines[2] == "| DM | hard | 10 | 41.0 ± 1.0 | 38.5 |"
    assert lines[3] == "| DC | hard | 10 | 41.0 ± 1.0 | - |"
    cross_architecture.draw(tmp_path)
    assert (folder / cross_architecture.PICTURE).stat().st_size > 5000
