import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "benchmark.py"
PLAIN = "plain, tuned allocator"
SIZES = {"shape": "1,8,8", "width": 8, "real_per_class": 8, "ipc": 2, "repeats": 1, "steps": 1, "warmup": 0}
TINY = [word for name, value in SIZES.items() for word in (f"--{name}", str(value))]


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(TOOL), *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("task", ["dm", pytest.param("dc", marks=pytest.mark.slow)])
def test_benchmark_times_ours_against_the_plain_form_and_compares_their_gradients(task, tmp_path):
    result = run(task, *TINY, "--sides", PLAIN, "ours", "--out", str(tmp_path / "report.json"))
    assert result.returncode == 0, result.stderr
    assert "x tuned" in result.stdout
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


@pytest.mark.slow
@pytest.mark.parametrize("task", ["dm", "dc"])
def test_the_memory_format_changes_no_gradient(task, tmp_path):
    sides = [PLAIN, "ours, channels last"]
    result = run(task, *TINY, "--grid", "--sides", *sides, "--out", str(tmp_path / "report.json"))
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "report.json").read_text())["sides"][sides[1]]["relative_error"] < 1e-4


@pytest.mark.slow
def test_a_task_without_a_grid_says_so():
    result = run("kip", "--grid")
    assert result.returncode == 2
    assert result.stderr == "error: kip has no --grid; dm and dc have one.\n"


@pytest.mark.slow
def test_both_forms_of_dd_have_the_gradient_of_the_plain_form(tmp_path):
    sides = [PLAIN, "ours", "10 steps, plain", "10 steps, ours, full graph"]
    sizes = {"shape": "1,28,28", "ipc": 2, "unroll": 3, "real_batch": 20, "repeats": 1, "steps": 1, "warmup": 0}
    words = [word for name, value in {**sizes, "width": 4}.items() for word in (f"--{name}", str(value))]
    result = run("dd", *words, "--sides", *sides, "--out", str(tmp_path / "report.json"))
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "report.json").read_text())["sides"]
    for name in (sides[1], sides[3]):
        assert rows[name]["cosine"] == pytest.approx(1, abs=1e-6)
        assert rows[name]["relative_error"] < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("task", ["frepo", "kip"])
def test_benchmarks_of_regressions_have_equal_gradients_on_both_sides(task, tmp_path):
    sizes = [word for name, value in SIZES.items() if name != "real_per_class" for word in (f"--{name}", str(value))]
    options = [*sizes, "--real_batch", "40", "--sides", PLAIN, "ours", "--out", str(tmp_path / "report.json")]
    result = run(task, *options)
    assert result.returncode == 0, result.stderr
    ours = json.loads((tmp_path / "report.json").read_text())["sides"]["ours"]
    assert ours["cosine"] == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
def test_forms_of_mtt_and_of_experts_have_the_gradients_of_the_plain_forms(tmp_path):
    sides = [PLAIN, "ours, full graph", "ours", "expert, plain", "expert, ours"]
    sizes = {"shape": "1,8,8", "unroll": 3, "width": 4, "repeats": 1, "steps": 1, "warmup": 0}
    words = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    result = run("mtt", *words, "--sides", *sides, "--out", str(tmp_path / "report.json"))
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "report.json").read_text())["sides"]
    for name in (sides[1], sides[2], sides[4]):
        assert rows[name]["cosine"] == pytest.approx(1, abs=1e-6)
        assert rows[name]["relative_error"] < 1e-3


def test_benchmark_refuses_an_unknown_task_in_one_sentence():
    result = run("speed")
    assert result.returncode == 2
    assert result.stderr == "error: there is no task 'speed': choose one of dc, dd, dm, evaluate, frepo, kip, mtt.\n"
