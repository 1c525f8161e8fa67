"""Run a grid of cells and record each result: `python tools/reproduce.py --grid GRID --budget MINUTES [options]`.

A grid is a YAML list of cells: `config`, `options` (added to the command), `minutes` (expected on the grid's device),
`value` (how instructive the cell is, 1 if left out) and `experts` (config and options of the experts that it needs;
they are recorded first, unless they are there). Cells run in order of value per minute. A cell that has its record is
skipped, one that was interrupted goes on from its checkpoint, and one that fails is reported and left behind.
What comes after the grid's options, such as `--data.root FOLDER`, is added to every command.
"""

import argparse
import hashlib
import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import yaml

import record
from lightning_dd.artifact.files import newest_run
from lightning_dd.callbacks.run_paths import CHECKPOINT, RESULTS
from lightning_dd.errors import UserError
from results_table import MEASURED, PLACES, SEARCHED, options_but

HERE = Path(__file__).resolve().parent.parent
GRACE = 60  # seconds that an interrupted cell has to save
HELD_OUT = "--evaluation.split", "held_out"
LONGEST = 200  # letters of a folder's name; file systems take 255 bytes
LOG = "output.txt"
INTERRUPTED = 128 + signal.SIGINT


@dataclass(frozen=True)
class Cell:
    """An entry of a grid; the config's path is from the project's root."""

    config: str
    options: tuple[str, ...]
    minutes: float
    value: float = 1.0
    experts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the cell on the screen."""
        return shlex.join([self.config, *self.options])

    def with_options(self, more: Sequence[str]) -> "Cell":
        """Return the cell with options that change what is run, so that it goes on from no other run."""
        found = chain.from_iterable(options_but(list(more), PLACES))
        return replace(self, options=(*self.options, *found))

    @property
    def folder(self) -> str:
        """Name of the folder of its runs, told apart by a digest where the options are too long for a file system."""
        words = (Path(self.config).parent.name, Path(self.config).stem, *self.options)
        name = "_".join(word.removeprefix("--").replace("/", "-") for word in words)
        return name if len(name) <= LONGEST else f"{name[:LONGEST]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def main(arguments: list[str]) -> int:
    """Run the grid and return the exit code: 1 if a cell failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", type=Path, required=True, help="YAML list of cells")
    parser.add_argument("--budget", type=float, required=True, metavar="MINUTES", help="stop before so much has passed")
    parser.add_argument("--runs", type=Path, default=Path("runs/grid"), help="where runs go, from the root")
    parser.add_argument("--share", default="0/1", metavar="I/N", help="only every N-th cell, from the I-th on")
    parser.add_argument("--list", action="store_true", help="only say what would be run")
    options, more = parser.parse_known_args(arguments)
    try:
        cells = share(options.share, ordered(read(options.grid)))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.list:
        for cell in cells:
            print(f"{'done' if finished(cell, more) else f'{cell.minutes:g} min':>8}  {cell.name}")
        return 0
    return int(run_all(cells, options.budget, HERE / options.runs, more))


def read(path: Path) -> list[Cell]:
    """Return the cells of a grid.

    Raises:
        UserError: the file is missing or is no list of cells.
    """
    try:
        entries = yaml.safe_load(path.read_text())
        words = [{key: tuple(shlex.split(entry.get(key, ""))) for key in ("options", "experts")} for entry in entries]
        cells = [Cell(**{**entry, **split}) for entry, split in zip(entries, words, strict=True)]
        if not all(isinstance(cell.config, str) and min(cell.minutes, cell.value) > 0 for cell in cells):
            raise ValueError("config is a path, minutes and value are above 0")
        return cells
    except OSError:
        raise UserError(f"There is no grid {path}.") from None
    except (yaml.YAMLError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{path} is no list of cells with config, options, minutes and value ({error}).") from None


def ordered(cells: list[Cell]) -> list[Cell]:
    """Return the cells by value per minute."""
    return sorted(cells, key=lambda cell: -cell.value / cell.minutes)


def share(text: str, cells: list[Cell]) -> list[Cell]:
    """Return the cells of a share `I/N`.

    Raises:
        UserError: it is none.
    """
    first, _, number = text.partition("/")
    if not (first.isdigit() and number.isdigit() and int(first) < int(number)):
        raise UserError(f"--share is I/N with I from 0 to N - 1, such as 0/2, and not {text}.")
    return cells[int(first) :: int(number)]


def finished(cell: Cell, more: Collection[str] = (), root: Path = HERE) -> bool:
    """Whether there is a record of exactly this cell, run with these options more."""
    wanted = set(options_but([*cell.options, *more], PLACES))
    path = (root / cell.config).with_suffix(SEARCHED if HELD_OUT in wanted else MEASURED)
    records = json.loads(path.read_text()) if path.exists() else []
    valid = [entry for entry in records if "superseded" not in entry]
    return any(set(options_but(shlex.split(entry["command"]), PLACES)) == wanted for entry in valid)


def run_all(
    cells: list[Cell], budget: float, runs: Path, more: list[str], clock: Callable[[], float] = time.monotonic
) -> bool:
    """Run what fits into a budget of minutes and return whether a cell failed; `more` are options of every command."""
    end = clock() + 60 * budget
    failed = False
    for cell in cells:
        left = (end - clock()) / 60
        if finished(cell, more):
            print(f"done already: {cell.name}")
        elif cell.minutes > left:
            print(f"left out, {cell.minutes:g} minutes do not fit into {left:.1f}: {cell.name}")
        else:
            failed |= not run(cell, runs / cell.with_options(more).folder, more, end - clock())
    return failed


def run(cell: Cell, folder: Path, more: list[str], seconds: float) -> bool:
    """Run a cell for so many seconds, less a minute for saving, and record it; return whether it did not fail.

    Its runs go into `folder`; `more` are options for every command.
    """
    end = time.monotonic() + seconds
    print(f"running: {cell.name}", flush=True)
    code = _fit([*cell.experts, *more], folder / "experts", seconds) if cell.experts else 0
    if code == 0:
        resumed = ["--ckpt_path", "last"] if _newest(folder, str(CHECKPOINT)) else []
        arguments = [cell.config, *cell.options, *more, *resumed]
        code = _fit(arguments, folder, end - time.monotonic())
    if code == 0:
        try:
            found = record.add(_newest(folder, RESULTS) or folder / RESULTS, HERE / cell.config)
        except UserError as error:
            print(f"  not recorded: {error}", flush=True)
            return False
        print(f"  recorded in {found}", flush=True)
    return code in (0, INTERRUPTED)


def _newest(folder: Path, file: str) -> Path | None:
    """Return a file of a cell's newest run; the runs of a cell have one name."""
    return next((path for runs in folder.glob("*") if (path := newest_run(runs, file))), None)


def _fit(arguments: list[str], folder: Path, seconds: float) -> int:
    """Run the program on a config with options, say why it did not come to its end, and return its exit code."""
    command = [sys.executable, "-m", "lightning_dd", "fit", "--config", *arguments]
    command += ["--trainer.default_root_dir", str(folder), "--trainer.enable_progress_bar", "false"]
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / LOG
    print(f"  its output is in {log}", flush=True)
    with log.open("a") as output:
        process = subprocess.Popen(command, cwd=HERE, stdout=output, stderr=subprocess.STDOUT)
        try:
            process.wait(max(1, seconds - GRACE))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            process.wait()
    if process.returncode == INTERRUPTED:
        print("  interrupted; it goes on where it was next time")
    elif process.returncode:
        print("  failed: " + " ".join(log.read_text().strip().splitlines()[-1:]))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
