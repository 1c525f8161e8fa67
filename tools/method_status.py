"""How many of each method's published numbers were reproduced, for `results_page.py`."""

from collections import defaultdict
from pathlib import Path

from lightning_dd.comparison.records import TITLES
from results_table import MEASURED, comparable_number, markdown, published_number, records, status

COLUMNS = ["method", "published numbers", "reproduced", "short", "not run"]


def status_table(root: Path) -> str:
    """Return a row for each method with published numbers, as its configs quote them, as Markdown."""
    measured = defaultdict(list)
    for config, record in records(root, MEASURED):
        measured[config].append(record)
    found = defaultdict(list)
    for config in sorted(root.glob("configs/*/*.yaml")):
        published = published_number(config)
        if published != "-":
            outcomes = [status(record, comparable_number(config, record)) for record in measured[config]]
            found[_method(config)].append(_best([outcome for outcome in outcomes if outcome != "-"], config))
    return markdown(COLUMNS, (_row(method, outcomes) for method, outcomes in sorted(found.items())))


def _best(outcomes: list[str], config: Path) -> str:
    """Return the best of a config's outcomes, what is short with its name; empty where it was not run."""
    if not outcomes or any(outcome.startswith("reproduced") for outcome in outcomes):
        return "reproduced" if outcomes else ""
    data = next((title for name, title in TITLES.items() if config.stem.startswith(f"{name}_")), config.stem)
    least = min(outcomes, key=lambda outcome: float(outcome.split()[2])).removeprefix("short ")
    return f"{data} [{config.stem.rsplit('_', 1)[1]}]({config.parent.name}/{config.name}) {least}"


def _row(method: str, outcomes: list[str]) -> list[str]:
    short = [outcome for outcome in outcomes if outcome not in ("", "reproduced")]
    counts = [str(len(outcomes)), str(outcomes.count("reproduced")), ", ".join(short) or "-", str(outcomes.count(""))]
    return [method, *counts]


def _method(config: Path) -> str:
    return config.read_text().removeprefix("# ").partition(",")[0]
