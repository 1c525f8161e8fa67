"""The table of a benchmark: on the screen, as Markdown and as JSON."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
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


def render(report: Mapping[str, Any], markdown: bool = False) -> str:
    """Return the whole report as text.

    Args:
        report: `task`, `settings`, `environment` and `sides`.
        markdown: with the table's bars and rules.
    """
    cells = [["side", *COLUMNS]]
    cells += [[name, *(column(row) for column in COLUMNS.values())] for name, row in report["sides"].items()]
    lines = _aligned(cells, " | " if markdown else "  ")
    if markdown:
        rule = ["---", *["---:"] * len(COLUMNS)]
        lines = [f"| {line} |" for line in lines]
        lines.insert(1, f"| {' | '.join(rule)} |")
    about = [_described(report[part]) for part in ("settings", "environment")]
    return "\n".join([f"benchmark {report['task']}", "", *lines, "", LEGEND, "", *about])


def write(report: Mapping[str, Any], path: Path) -> None:
    """Write Markdown where the name ends in `.md`, and JSON otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = render(report, markdown=True) if path.suffix == ".md" else json.dumps(report, indent=2)
    path.write_text(text + "\n")


def _aligned(rows: list[list[str]], separator: str) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        separator.join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]


def _described(part: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in part.items())
