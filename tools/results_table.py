"""Print the table of all records, or put it into `configs/README.md`: `python tools/results_table.py [--write]`.

The published number of a row is that of its config's first line.
"""

import json
import re
import shlex
import sys
from collections.abc import Collection, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from lightning_dd.comparison.records import TITLES, commands, figure, method_of

HERE = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- table: written by tools/results_table.py -->", "<!-- end of the table -->"
COLUMNS = ["method", "data", "images per class", "network, protocol", "steps (published)"]
COLUMNS += ["ours", "random real", "herding (`dc`)", "published", "difference", "minutes, device"]
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
SILENT = (*PLACES, "--data.held_out", "--trainer.max_steps")
"""Those that the table has no need to name: other cells do."""


def main(arguments: list[str]) -> int:
    """Print or write the table and return the exit code."""
    if arguments not in ([], ["--write"]):
        print(__doc__, file=sys.stderr)
        return 2
    if arguments:
        readme = HERE / "configs" / "README.md"
        readme.write_text(with_table(readme.read_text(), table(HERE)))
    else:
        print(table(HERE))
    return 0


def with_table(text: str, table: str) -> str:
    """Return a text with the table between its two marks."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"


def table(root: Path) -> str:
    """Return the table of all records under `configs/` as Markdown."""
    entries = sorted(_records(root), key=_place)
    herding = {_task(record): record for config, record in reversed(entries) if config.stem.endswith("_herding")}
    rows = [_row(*entry, herding.get(_task(entry[1]))) for entry in entries]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (COLUMNS, ["---"] * len(COLUMNS), *rows))


def _row(config: Path, record: dict[str, Any], herding: dict[str, Any] | None) -> list[str]:
    """Return the cells of one record; `herding` is that of as many images chosen by herding, if there is one."""
    last = record["evaluations"][-1]  # the best founded
    published = _published(config)
    value = re.match(r"[\d.]+", published)
    short = ["settings scaled down"] if config.stem.endswith("_short") else []
    steps = f"{record['steps']:,} ({record['published_steps']:,})"
    minutes = (record["cost"]["seconds"] + last["seconds"]) / 60
    return [
        f"[{method_of(record)}]({config.relative_to(config.parents[1]).as_posix()})",
        ", ".join([TITLES.get(record["dataset"], record["dataset"]), *record.get("data_departures", [])]),
        str(record["ipc"]),
        f"{last['num_networks']} x {last['network']}, `{last['protocol']}`",
        ", ".join([steps, *short, *changed_options(commands(record))]),
        figure(last),
        figure(last, "random_real"),
        figure(herding["evaluations"][-1]) if herding and herding is not record else "-",
        published.replace("+-", "±"),
        f"{last['accuracy_mean'] - float(value[0]):+.1f}" if value else "-",
        f"{minutes:.0f}, {record['environment']['device']}",
    ]


def _records(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in root.glob("configs/*/*.results.json"):
        config = path.with_name(path.name.replace(".results.json", ".yaml"))
        yield from ((config, record) for record in json.loads(path.read_text()))


def _place(entry: tuple[Path, dict[str, Any]]) -> tuple[Any, ...]:
    config, record = entry
    datasets = [*TITLES, record["dataset"]]
    return datasets.index(record["dataset"]), record["ipc"], record["method"], config.name, -record["steps"]


def _task(record: dict[str, Any]) -> tuple[str, int]:
    return record["dataset"], record["ipc"]


def _published(config: Path) -> str:
    found = re.search(r"published ([\d.]+(?: \+- [\d.]+)?)", config.read_text().splitlines()[0])
    return found[1] if found else "-"


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
    return list({name: value for name, value in pairwise(words) if name.startswith("--") and name not in but}.items())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
