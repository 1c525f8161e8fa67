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


def test_benchmark_times_ours_against_the_plain_form_and_compares_their_gradients(tmp_path):
    result = run("dm", *TINY, "--sides", PLAIN, "ours", "--out", str(tmp_path / "report.json"))
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


def test_benchmark_of_several_networks_compares_what_was_trained(tmp_path):
    sizes = [word for pair in zip(TINY[::2], TINY[1::2], strict=True) if pair[0] != "--real_per_class" for word in pair]
    several = ["--networks", "2", "--epochs", "2", "--sides", "networks in turns", "networks stacked"]
    result = run("evaluate", *sizes, *several, "--out", str(tmp_path / "report.json"))
    assert result.returncode == 0, result.stderr
    sides = json.loads((tmp_path / "report.json").read_text())["sides"]
    assert sides["networks stacked"]["relative_error"] < 1e-4
    assert sides["networks stacked"]["speedup_over_tuned"] > 0


def test_benchmark_refuses_an_unknown_task_in_one_sentence():
    result = run("speed")
    assert result.returncode == 2
    tasks = sorted(path.stem for path in (TOOL.parent / "benchmarks" / "tasks").glob("[!_]*.py"))
    assert result.stderr == f"error: there is no task 'speed': choose one of {', '.join(tasks)}.\n"
