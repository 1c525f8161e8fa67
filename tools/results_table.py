"""The tables of all records, measured on test images and on held-out ones, for `results_page.py`.

The published number of a row is that of its config's first line.
"""

import json
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from lightning_dd import methods
from lightning_dd.comparison.records import PETA, TITLES, commands, figure, method_of, operations_spent, total_seconds

MEASURED, SEARCHED = ".results.json", ".search.json"
"""Ends of the names of records beside a config: measured on test images, and on held-out ones."""
COLUMNS = ["method", "images per class", "ours", "random real", "herding (`dc`)", "published", "status"]
COLUMNS += ["network, protocol", "steps (published)", "PFLOP", "minutes + evaluation, device"]
PLACES = (
    "--config",
    "--data.root",
    "--data.download",
    "--model.experts",
    "--trainer.default_root_dir",
    "--trainer.enable_progress_bar",
    "--trainer.accelerator",
    "--trainer.devices",
    "--trainer.strategy",
    "--ckpt_path",
)
"""Options that say where a run is made and not what it computes."""
MEASURING = ("split", "at", "num_networks", "random_real")
SILENT = (*PLACES, "--data.held_out", "--trainer.max_steps", *(f"--evaluation.{name}" for name in MEASURING))
"""Those that the table has no need to name: other cells do."""
Entry = tuple[Path, dict[str, Any]]
"""A config and one of its records."""
FOLDED = "<details><summary>Other runs of these configs</summary>\n\n{}\n\n</details>"
POINTS, DEVIATIONS = 1, 2
"""A number is reproduced within so many points and deviations, the larger of ours and the published one."""


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows))


def table(root: Path) -> str:
    """Return the records under `configs/` as Markdown, a table for each data set: a row a config, folded the others."""
    entries = sorted(records(root, MEASURED), key=_place)
    chosen = ((config, record) for config, record in representatives(entries)[0] if config.stem.endswith("_herding"))
    herding = {_task(record): record for _, record in chosen}
    parts = []
    for name, group in groupby(entries, key=lambda entry: entry[1]["dataset"]):
        parts.append(f"### {TITLES.get(name, name)}")
        first, others = representatives(list(group))
        for part, form in ((first, "{}"), (others, FOLDED)):
            rows = [_row(*entry, herding.get(_task(entry[1]))) for entry in part]
            parts += [form.format(markdown(COLUMNS, rows))] if rows else []
    return "\n\n".join(parts)


def representatives(entries: list[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Return of each config the record that stands for it, and all others, in their order.

    It is of settings that held-out images have not ruled out since, of the method's own protocol, of most steps, of
    most networks, with its set beside it, with the fewest options changed: never the most accurate.
    """

    def rank(entry: Entry) -> tuple[int, ...]:
        record = entry[1]
        last, valid = record["evaluations"][-1], "superseded" not in record
        own = last["protocol"] == _own_protocol(record)
        return valid, own, record["steps"], last["num_networks"], "artifact" in record

    first = []
    for _, group in groupby(sorted(entries, key=_place), key=lambda entry: _place(entry)[:-1]):
        first.append(max(group, key=rank))  # of equals the first in its file, with the fewest options changed
    return first, [entry for entry in entries if not any(entry is each for each in first)]


def search_table(root: Path) -> str:
    """Return the table of what was tried on held-out images, the best of each task first."""
    entries = sorted(records(root, SEARCHED), key=lambda entry: (*_task(entry[1]), -_accuracy(entry[1])))
    columns = ["data", "images per class", "method", "options", "steps", "minutes", "networks, epochs", "held out"]
    columns += ["random real", "random real, stored alike"]
    return markdown(columns, (_tried(*entry) for entry in entries))


def _tried(config: Path, record: dict[str, Any]) -> list[str]:
    last = record["evaluations"][-1]
    options = [each for each in changed_options(commands(record)) if "evaluation." not in each] + _superseded(record)
    return [
        TITLES.get(record["dataset"], record["dataset"]),
        str(record["ipc"]),
        linked(config, record),
        ", ".join(options) or "as in the config",
        f"{record['steps']:,}",
        f"{minutes(record):.0f}",
        f"{last['num_networks']} x {last['epochs'] or 'all'}, `{last['protocol']}`",
        *(figure(last, which) for which in ("accuracy", "random_real", "random_coded")),
    ]


def _superseded(record: dict[str, Any]) -> list[str]:
    return [f"superseded: {record['superseded']}"] if "superseded" in record else []


def _row(config: Path, record: dict[str, Any], herding: dict[str, Any] | None) -> list[str]:
    """Return the cells of one record; `herding` is that of as many images chosen by herding, if there is one."""
    last = record["evaluations"][-1]  # of most steps
    published = comparable_number(config, record)
    short = ["settings scaled down"] if config.stem.endswith("_short") else []
    departures = record.get("data_departures", []) + short
    steps = f"{record['steps']:,}" + (f" ({record['published_steps']:,})" if record["published_steps"] else "")
    shipped = f", [set]({_link(config.with_suffix('.safetensors'))})" if "artifact" in record else ""
    return [
        linked(config, record) + shipped,
        str(record["ipc"]),
        f"[{figure(last)}]({_link(config.with_suffix(MEASURED))})",
        figure(last, "random_real"),
        figure(herding["evaluations"][-1]) if herding and herding is not record else "-",
        published.replace("+-", "±"),
        status(record, published),
        f"{last['num_networks']} x {last['network']}, `{last['protocol']}`",
        ", ".join([steps, *departures, *changed_options(commands(record)), *_superseded(record)]),
        _operations(last),
        f"{minutes(record):.0f} + {last['seconds'] / 60:.0f}, {record['environment']['device']}",
    ]


def status(record: dict[str, Any], published: str) -> str:
    """Return how a record compares with a published `mean +- deviation`; `-` where nothing is published."""
    found = re.match(r"([\d.]+)(?: \+- ([\d.]+))?", published)
    if not found:
        return "-"
    last = record["evaluations"][-1]
    difference = last["accuracy_mean"] - float(found[1])
    if difference >= -(POINTS + DEVIATIONS * max(last["accuracy_std"], float(found[2] or 0))):
        return f"reproduced, {difference:+.1f}"
    if record["published_steps"] in (None, 1):
        return f"short by {-difference:.1f}"
    share = 100 * record["steps"] / record["published_steps"]
    return f"short by {-difference:.1f} at {share:{'.0f' if share >= 10 else '.2g'}} % of the steps"


def linked(config: Path, record: dict[str, Any]) -> str:
    """Return the method of a record with a link to its config."""
    recommended = ", recommended" if config.parent.name == "recommended" else ""
    return f"[{method_of(record)}{recommended}]({_link(config)})"


def _link(path: Path) -> str:
    return path.relative_to(path.parents[1]).as_posix()


def minutes(record: dict[str, Any]) -> float:
    """Return the minutes of distilling and of networks trained beforehand."""
    return total_seconds(record["cost"]) / 60


def _operations(evaluation: dict[str, Any]) -> str:
    """Return the PFLOP of distilling and of networks trained beforehand."""
    spent = operations_spent(evaluation)
    return f"{spent / PETA:.2g}" if spent else "-"


def _accuracy(record: dict[str, Any]) -> float:
    return record["evaluations"][-1]["accuracy_mean"]


def records(root: Path, kind: str) -> Iterator[Entry]:
    """Yield each record of a kind with its config."""
    for path in root.glob(f"configs/*/*{kind}"):
        config = path.with_name(path.name.replace(kind, ".yaml"))
        yield from ((config, record) for record in json.loads(path.read_text()))


def _place(entry: Entry) -> tuple[Any, ...]:
    config, record = entry
    datasets = [*TITLES, record["dataset"]]
    return datasets.index(record["dataset"]), record["ipc"], record["method"], str(config), -record["steps"]


def _task(record: dict[str, Any]) -> tuple[str, int]:
    return record["dataset"], record["ipc"]


def published_number(config: Path) -> str:
    """Return the published number in a config's first line, with its deviation where it has one; or `-`."""
    found = re.search(r"published (\d+(?:\.\d+)?(?: \+- \d+(?:\.\d+)?)?)", config.read_text().splitlines()[0])
    return found[1] if found else "-"


def comparable_number(config: Path, record: dict[str, Any]) -> str:
    """Return the published number that a record compares with.

    It is `-` under another protocol than the method's own, and of another number of images than the config's.
    """
    own = record["evaluations"][-1]["protocol"] == _own_protocol(record)
    return published_number(config) if own and of_its_ipc(config, record) else "-"


def of_its_ipc(config: Path, record: dict[str, Any]) -> bool:
    """Return whether a record has the number of images per class in its config's name, if there is one."""
    named = re.search(r"_ipc(\d+)", config.stem)
    return named is None or int(named[1]) == record["ipc"]


def _own_protocol(record: dict[str, Any]) -> str:
    return getattr(methods, record["method"]).protocol


def changed_options(commands: list[str]) -> list[str]:
    """Return the options that changed what was computed: of the method the first command's, or else the last's.

    A run that goes on keeps the method's options, which are in its checkpoint.
    """
    first, last = (options_but(shlex.split(command), SILENT) for command in (commands[0], commands[-1]))
    found = [each for each in first if each[0].startswith("--model") or each in last]
    found += [each for each in last if not each[0].startswith("--model") and each not in first]
    return [f"`{option.removeprefix('--model.').removeprefix('--')} {value}`" for option, value in found]


def options_but(words: list[str], but: Collection[str]) -> list[tuple[str, str]]:
    """Return the options of a command with their values, but for some; of one given twice the last counts."""
    words = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    return list({name: value for name, value in pairwise(words) if name.startswith("--") and name not in but}.items())
