"""The sides of a task, which are compared."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

PLAIN_DEFAULT = "plain, default allocator"
PLAIN = "plain, tuned allocator"


@dataclass(frozen=True)
class Side:
    """One way to do the work; each run of it has a process of its own.

    Attributes:
        form: what the worker does; the others of a group are compared with its `plain` sides.
        tuned: whether the process keeps freed memory (CPU only).
        compile: whether `torch.compile` is used.
        precision: of the Trainer; `bf16-mixed` is autocast elsewhere.
        channels_last: whether the network's weights and activations have the channels of a pixel side by side.
        group: sides of one group do the same work.
        more: options of the method that only this side sets.
    """

    form: str = "ours"
    tuned: bool = True
    compile: bool = False
    precision: str = "32-true"
    channels_last: bool = False
    group: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)


FULL_GRAPH = {"recompute": False}
PLAINS = {PLAIN_DEFAULT: Side("plain", tuned=False), PLAIN: Side("plain")}
OURS = {"ours": Side(), "ours, compile": Side(compile=True)}
USUAL = {
    **PLAINS,
    **OURS,
    "ours, bf16": Side(precision="bf16-mixed"),
    "ours, compile + bf16": Side(compile=True, precision="bf16-mixed"),
}
"""The sides of most tasks, in the order of their tables; others put theirs together from the same parts."""


def sweep(option: str, *values: int) -> dict[str, Side]:
    """Return ours with each value of an option."""
    return {f"ours, {option} {value}": Side(more={option: value}) for value in values}


def memory(option: str, *values: int, **others: Side) -> dict[str, Side]:
    """Return rows that show the memory of unrolled training: a group for each value of an option, with other sides."""
    sides = {"plain": Side("plain"), "ours, full graph": Side(more=FULL_GRAPH), "ours": Side(), **others}
    return {
        f"{value} steps, {name}": replace(side, group=f"memory {value}", more={**side.more, option: value})
        for value in values
        for name, side in sides.items()
    }


def grid() -> dict[str, Side]:
    """Return ours in every combination of precision, compilation and memory format, beside the plain form."""
    sides = {PLAIN: Side("plain")}
    for precision, compile, channels_last in product(("32-true", "bf16-mixed"), (False, True), (False, True)):
        words = ["bf16"] * (precision != "32-true") + ["compile"] * compile + ["channels last"] * channels_last
        side = Side(precision=precision, compile=compile, channels_last=channels_last)
        sides[", ".join(["ours", " + ".join(words)] if words else ["ours"])] = side
    return sides


def references(sides: Mapping[str, Side], group: str) -> dict[str, str]:
    """Return the names of a group's plain sides, by allocator: `"default"` and `"tuned"`, where there are such."""
    plain = {name: side for name, side in sides.items() if side.form == "plain" and side.group == group}
    return {"tuned" if side.tuned else "default": name for name, side in plain.items()}
