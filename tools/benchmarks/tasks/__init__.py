"""Tasks, found by name: those of `class_by_class`, and one in every other file of this folder.

A task is its sides (`SIDES`, `SWEEP` and, for some, `GRID`), its `OPTIONS` (the default and the help of each) and
`DEFAULTS`. That of a method has `method(side, options)` and the plain objective, `loss(method, network, batch)`: a
scalar, or parts of it that have a backward each. What is no method has a `run(side, options)` of its own.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.tasks.class_by_class import TASKS

FILES = {path.stem for path in Path(__file__).parent.glob("[!_]*.py")} - {"class_by_class"}
NAMES = sorted(FILES | TASKS.keys())


def find(name: str) -> Any:
    """Return the task of a name."""
    return TASKS.get(name) or import_module(f"benchmarks.tasks.{name}")
