"""The table of a benchmark, for the screen."""

from collections.abc import Callable, Mapping
from typing import Any

Row = Mapping[str, Any]


def _number(key: str, form: str, scale: float = 1.0) -> Callable[[Row], str]:
    return lambda row: "-" if row[key] is None else format(row[key] * scale, form)


def _seconds(row: Row) -> str:
    return f"{row['seconds']:.4g} ({row['seconds_min']:.4g}-{row['seconds_max']:.4g})"


COLUMNS: dict[str, Callable[[Row], str]] = {
    "s/step (min-max)": _seconds,
    "x default": _number("speedup_over_default", ".2f"),
    "x tuned": _number("speedup_over_tuned", ".2f"),
    "system s": _number("system_seconds", ".3f"),
    "faults": _number("minor_faults", ",.0f"),
    "peak GB": _number("peak_memory_bytes", ".2f", 1e-9),
    "warm-up s": _number("warmup_seconds", ".1f"),
    "cosine": _number("cosine", ".6f"),
    "rel. error": _number("relative_error", ".1e"),
    "others' cores": _number("other_processes_cores", ".2f"),
}

LEGEND = """\
s/step: median over runs of each run's median, from the end of a step to the end of the next, data included; (min-max)
over runs. x: how many times as fast as the plain form with the default or the tuned allocator. system s, faults: CPU
seconds in the kernel and minor page faults, a step. peak GB: of the process, or of the GPU. warm-up: compilation and
first steps, not measured. cosine, rel. error: of the first step's result against plain float32 on the same draws.
others' cores: CPU cores that other processes kept busy meanwhile; above 0.1 do not quote the times."""


def render(report: Mapping[str, Any]) -> str:
    """Return the whole report as text.

    Args:
        report: `task`, `settings`, `environment` and `sides`.
    """
    rows = [["side", *COLUMNS]]
    rows += [[name, *(column(row) for column in COLUMNS.values())] for name, row in report["sides"].items()]
    first, *widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))])
        for name, *cells in rows
    ]
    about = [_described(report[part]) for part in ("settings", "environment")]
    return "\n".join([f"benchmark {report['task']}", "", *lines, "", LEGEND, "", *about])


def _described(part: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in part.items())
