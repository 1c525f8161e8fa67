"""Time a method's step against the plain form of the same algorithm: `python tools/benchmark.py dm`.

Every run of every side has a fresh process, and the sides take turns, so that neither the state of an allocator nor a
slow minute of the machine favors one. Tasks are in `tools/benchmarks/tasks`.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks import driver, table, tasks, worker
from benchmarks.sides import Side
from lightning_dd.artifact.files import write_json
from lightning_dd.runtime.environment import environment
from lightning_dd.runtime.memory import keep_freed_memory

HERE = Path(__file__).resolve()


def main(arguments: list[str]) -> int:
    """Run a task, print its table and return the exit code."""
    names = ", ".join(tasks.NAMES)
    if not arguments or arguments[0].startswith("-"):
        print(f"usage: python tools/benchmark.py TASK [--help], TASK being one of {names}", file=sys.stderr)
        return 0 if set(arguments) & {"-h", "--help"} else 2
    if arguments[0] not in tasks.NAMES:
        return _fail(f"there is no task {arguments[0]!r}: choose one of {names}.")
    task = tasks.find(arguments[0])
    options = _parser(task, arguments[0]).parse_args(arguments[1:])
    options.device = "cuda" if torch.cuda.is_available() else "cpu"
    if options.worker:
        return _work(task, options)
    sides = _sides(task, options)
    if not sides:
        return _fail(f"{arguments[0]} has no --grid; methods that go class by class have one.")
    if unknown := set(options.sides or ()) - sides.keys():
        return _fail(f"there is no side {min(unknown)!r}: choose from {', '.join(map(repr, sides))}.")
    sides = {name: sides[name] for name in options.sides or sides}
    try:
        _compare(arguments, sides, options)
    except driver.WorkerError as error:
        return _fail(f"a run failed, and this is the end of what it printed:\n{error}", 1)
    return 0


def _parser(task: Any, name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"benchmark.py {name}",
        description=task.__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--repeats", type=_count, default=5, help="runs of each side")
    add("--steps", type=_count, default=8, help="measured steps of a run")
    add("--warmup", type=int, default=2, help="steps before those; compilation happens here")
    add("--sides", nargs="+", metavar="SIDE", help="only these, each in quotes")
    add("--sweep", action="store_true", help="try chunk sizes in place of the usual sides")
    add("--grid", action="store_true", help="every combination of precision, compilation and memory format instead")
    add("--shape", type=_shape, default=(3, 32, 32), help="C,H,W of an image")
    add("--classes", type=_count, default=10, help="number of classes")
    add("--ipc", type=_count, default=10, help="synthetic images per class")
    add("--width", type=_count, default=128, help="channels of the ConvNet")
    add("--seed", type=int, default=0, help="of all draws, the same on all sides")
    add("--out", type=Path, help="JSON file to write besides")
    add("--worker", help=argparse.SUPPRESS)
    add("--answer", type=Path, help=argparse.SUPPRESS)
    for option, (default, text) in task.OPTIONS.items():
        kind = {"action": "store_true"} if default is False else {"type": _count, "default": default}
        add(f"--{option}", help=text, **kind)
    parser.set_defaults(**getattr(task, "DEFAULTS", {}))
    return parser


def _sides(task: Any, options: argparse.Namespace) -> dict[str, Side]:
    """Return the sides of the task that make sense on the device: a GPU has one allocator."""
    sides = getattr(task, "GRID", {}) if options.grid else task.SWEEP if options.sweep else task.SIDES
    return sides if options.device == "cpu" else {name: side for name, side in sides.items() if side.tuned}


def _compare(arguments: list[str], sides: dict[str, Side], options: argparse.Namespace) -> None:
    command = [sys.executable, str(HERE), *arguments]
    with tempfile.TemporaryDirectory() as folder:
        rows = driver.compare(command, sides, options, Path(folder))
    settings = {name: value for name, value in vars(options).items() if name not in ("worker", "answer", "out")}
    where = environment(torch.device(options.device))
    report = {"task": arguments[0], "settings": settings, "environment": where, "sides": rows}
    print(table.render(report))
    if options.out:
        write_json(options.out, report)


def _work(task: Any, options: argparse.Namespace) -> int:
    """Do one run in this process and print its result as one line."""
    side = _sides(task, options)[options.worker]
    torch.set_num_threads(os.cpu_count())
    if side.tuned and options.device == "cpu":
        keep_freed_memory()
    result = task.run(side, options) if hasattr(task, "run") else worker.run(task, side, options)
    torch.save(result.pop("answer"), options.answer)
    print(json.dumps(result))
    return 0


def _shape(text: str) -> tuple[int, ...]:
    numbers = text.split(",")
    if len(numbers) != 3:
        raise argparse.ArgumentTypeError(f"{text!r} is not C,H,W, for example 3,32,32")
    return tuple(map(_count, numbers))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _fail(sentence: str, code: int = 2) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
