"""What pip installs, from a wheel and from a checkout, brings commands and configs along."""

import os
import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ("configs", "lightning_dd", "setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE")
RUN = "fit --config quickstart --trainer.max_steps 2 --evaluation.enabled false --trainer.enable_progress_bar false"


def _pip(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "pip", *map(str, words), "-q"], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("editable", [False, True])
def test_an_installed_program_is_whole(editable, tmp_path):
    source, work = tmp_path / "source", tmp_path / "work"
    source.mkdir(), work.mkdir()
    for name in SOURCE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    venv.create(tmp_path / "env", with_pip=False)
    program = tmp_path / "env" / "bin" / "lightning-dd"
    (packages,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    if editable:
        what = ["-e", source]
    else:
        _pip("wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, source)
        what = list(tmp_path.glob("*.whl"))
        shutil.rmtree(source)
    _pip("--python", tmp_path / "env" / "bin" / "python", "install", "--no-deps", "--no-build-isolation", *what)
    (work / "mine.py").write_text("from lightning_dd.methods import DM\n\n\nclass Mine(DM):\n    pass\n")

    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(words: str, program: Path = program) -> str:
        command = [program, *words.split()]
        return subprocess.run(command, cwd=work, env=variables, check=True, capture_output=True, text=True).stdout

    where = run("-c print(__import__('lightning_dd').__file__)", program.with_name("python"))
    assert str(source if editable else packages) in where
    assert "dm/cifar10_ipc10" in run("list configs")
    run(RUN)
    run(f"{RUN} --model mine.Mine")  # the current folder's
    assert "DM on digits" in run("show runs/dm_digits_ipc1/version_0")
    run("report runs/dm_digits_ipc1/version_0 runs/mine_digits_ipc1/version_0")
    assert "<style>\n:root" in (work / "report.html").read_text()
    run("evaluate runs/dm_digits_ipc1/version_0 --networks MLP:width=8 --epochs 1 --num_networks 1")
