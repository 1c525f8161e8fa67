"""How many of each method's published numbers were reproduced, for `results_page.py`."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from lightning_dd.comparison.records import TITLES
from results_table import (
    MEASURED,
    comparable_number,
    markdown,
    of_its_ipc,
    published_number,
    records,
    representatives,
    status,
)

COLUMNS = ["method", "published numbers", "reproduced", "short", "not run"]


def status_table(root: Path) -> str:
    """Return a row for each method with published numbers, as its configs quote them, as Markdown."""
    standing, _ = representatives(list(records(root, MEASURED)))
    measured = {config: record for config, record in standing if of_its_ipc(config, record)}
    found = defaultdict(list)
    for config in sorted(root.glob("configs/*/*.yaml")):
        if published_number(config) != "-":
            found[_method(config)].append(_outcome(config, measured.get(config)))
    return markdown(COLUMNS, (_row(method, outcomes) for method, outcomes in sorted(found.items())))


def _outcome(config: Path, record: dict[str, Any] | None) -> str:
    """Return `reproduced`, or what is short of what; empty where the config was not run by its own protocol."""
    outcome = status(record, comparable_number(config, record)) if record else "-"
    if not outcome.startswith("short"):
        return "reproduced" if outcome.startswith("reproduced") else ""
    data = next((title for name, title in TITLES.items() if config.stem.startswith(f"{name}_")), config.stem)
    link = f"[{config.stem.rsplit('_', 1)[1]}]({config.parent.name}/{config.name})"
    return f"{data} {link} {outcome.removeprefix('short ')}"


def _row(method: str, outcomes: list[str]) -> list[str]:
    short = [outcome for outcome in outcomes if outcome not in ("", "reproduced")]
    counts = [str(len(outcomes)), str(outcomes.count("reproduced")), ", ".join(short) or "-", str(outcomes.count(""))]
    return [method, *counts]


def _method(config: Path) -> str:
    return config.read_text().removeprefix("# ").partition(",")[0]
