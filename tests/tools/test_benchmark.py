"""Benchmarks: both forms of each task do the same work, and one invocation compares them in fresh processes."""

import json

import pytest

import benchmark
from benchmarks import tasks, worker
from benchmarks.sides import references
from benchmarks.tasks import class_by_class

PLAIN = "plain, tuned allocator"
MATCHING = dict.fromkeys(class_by_class.TASKS, "--shape 1,8,8 --width 8 --real_per_class 8 --ipc 2")
TASKS = MATCHING | {
    "dd": "--shape 1,28,28 --width 4 --unroll 3 --real_batch 20 --ipc 2",
    "evaluate": "--shape 1,8,8 --width 4 --epochs 3 --test_images 300",
    "experts": "--shape 1,8,8 --width 4 --batch 32",
    "frepo": "--shape 1,8,8 --width 8 --real_batch 40 --ipc 2",
    "kip": "--shape 1,8,8 --real_batch 40 --ipc 2",
    "mtt": "--shape 1,8,8 --width 4 --unroll 3",
}
LARGE = ("memory 50", "memory 100")
ONCE = "--repeats 1 --steps 1 --warmup 0"


@pytest.mark.parametrize("name", TASKS)
def test_every_side_does_the_work_of_its_plain_form(name):
    task = tasks.find(name)
    options = benchmark._parser(task, name).parse_args(f"{TASKS[name]} {ONCE}".split())
    options.device = "cpu"
    sides = {**task.SIDES, **getattr(task, "GRID", {})}
    kept = {
        key: side
        for key, side in sides.items()
        if not side.compile and side.precision == "32-true" and side.form != "tesla" and side.group not in LARGE
    }
    measure = getattr(task, "run", None) or (lambda side, options: worker.run(task, side, options))
    results = {key: measure(side, options) for key, side in kept.items()}
    for key, side in kept.items():
        expected = results[references(kept, side.group)["tuned"]]["answer"].double()
        assert expected.norm() > 0
        assert (results[key]["answer"].double() - expected).norm() < 1e-3 * expected.norm(), key
        assert results[key]["seconds"][0] > 0
    assert len(kept) >= 3


@pytest.mark.slow
def test_one_invocation_times_both_forms_in_fresh_processes(tmp_path, capsys):
    words = f"{TASKS['dm']} {ONCE}".split()
    assert benchmark.main(["dm", *words, "--sides", PLAIN, "ours", "--out", str(tmp_path / "report.json")]) == 0
    assert "x tuned" in capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["settings"]["width"] == 8
    assert report["environment"]["torch"]
    assert list(report["sides"]) == [PLAIN, "ours"]
    for row in report["sides"].values():
        assert 0 < row["seconds_min"] <= row["seconds"] <= row["seconds_max"]
        assert row["peak_memory_bytes"] > 0
    ours = report["sides"]["ours"]
    assert ours["speedup_over_tuned"] == pytest.approx(report["sides"][PLAIN]["seconds"] / ours["seconds"])
    assert ours["cosine"] == pytest.approx(1, abs=1e-6)
    assert ours["relative_error"] < 1e-4


def test_mistakes_are_sentences(capsys):
    assert benchmark.main(["kip", "--grid"]) == 2
    assert capsys.readouterr().err == "error: kip has no --grid; methods that go class by class have one.\n"
    assert benchmark.main(["speed"]) == 2
    named = ", ".join(sorted(TASKS))
    assert capsys.readouterr().err == f"error: there is no task 'speed': choose one of {named}.\n"
