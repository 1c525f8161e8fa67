"""Add a run's result to the list of records beside its config: `python tools/record.py RUN_FOLDER CONFIG`.

The list has one entry for each (options, seed, evaluation, steps, device), which the same run done again replaces. The
longest run stands first, of equally long ones that of the most networks, of these that with the fewest options changed.
Settings that held-out images or the paper have since ruled out may be marked, `"superseded": "WHY"`, and stand last;
the config's first line says what it gave, and its distilled set, in half precision, lies beside where it is small. A
run measured on held-out images goes to a list of its own, `.search.json`. `python tools/results_page.py` brings both
into `configs/README.md`.
"""

import hashlib
import json
import re
import shlex
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lightning_dd.artifact.dataset import FILE, load
from lightning_dd.artifact.files import atomic, write_json
from lightning_dd.artifact.schema import RECORD as RUN
from lightning_dd.artifact.schema import count, lines, not_negative, percent, read_json, table, text
from lightning_dd.comparison.records import commands
from lightning_dd.errors import UserError
from results_table import MEASURED, SEARCHED, changed_options

RECORD = {
    "evaluations": [{"accuracy_mean": percent, "accuracy_std": not_negative}],
    "steps": count,
    "published_steps": (None, count),
    "command": lines,
    "commands?": [lines],
    "config": {"model": {"init_args": table}},
    "cost?": RUN["cost?"],
    "environment": {"device": text},
    "superseded?": text,
}
"""The form of a record that stands beside a config."""
LARGEST = 1_500_000  # bytes of a set beside its record


def main(arguments: list[str]) -> int:
    """Add the record and return the exit code."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        path = add(Path(arguments[0]) / "results.json", Path(arguments[1]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"The record is in {path}.")
    return 0


def add(result: Path, config: Path) -> Path:
    """Add a run's `results.json` to the records of a config and return the path of these.

    Raises:
        UserError: a file is missing, or the run has no evaluation.
    """
    for path in (result, config):
        if not path.is_file():
            raise UserError(f"There is no file {path}.")
    record = read_json(result, RECORD)
    if not record["evaluations"]:
        raise UserError(f"{result} has no evaluation; only measured runs are recorded.")
    record["command"] = _without_folders(record["command"])
    if "commands" in record:
        record["commands"] = [_without_folders(command) for command in record["commands"]]
    if "experts" in record["config"]["model"]["init_args"]:
        record["config"]["model"]["init_args"]["experts"] = "EXPERTS"
    chosen_on = record["evaluations"][-1].get("split")
    path = config.with_suffix(SEARCHED if chosen_on == "held_out" else MEASURED)
    record |= _ruled_out(record, path)
    if chosen_on == "held_out":
        return _written(record, path)
    _keep_set(result.with_name(FILE), config, record)
    _written(record, path)
    first, *rest = config.read_text().split("\n")
    with atomic(config) as temporary:
        temporary.write_text("\n".join([_with_result(first, read_json(path, [RECORD])[0]), *rest]))
    return path


def _written(record: dict[str, Any], path: Path) -> Path:
    """Write a record into a list and return the path of that."""
    kept = [other for other in _records(path) if _identity(other) != _identity(record)]
    write_json(path, sorted([*kept, record], key=_order))
    return path


def _records(path: Path) -> list[dict[str, Any]]:
    return read_json(path, [RECORD]) if path.exists() else []


def _ruled_out(record: dict[str, Any], path: Path) -> dict[str, str]:
    """Return why a record's settings were ruled out, where the same run has been recorded and was."""
    same = [other for other in _records(path) if _identity(other) == _identity(record) and "superseded" in other]
    return {"superseded": same[0]["superseded"]} if same else {}


def _order(record: dict[str, Any]) -> tuple[int, ...]:
    networks, options = _networks(record), len(changed_options(commands(record)))
    return "superseded" in record, -record["steps"], -networks, options, record.get("seed", 0)


def _networks(record: dict[str, Any]) -> int:
    return record["evaluations"][-1].get("num_networks", 1)


def _keep_set(artifact: Path, config: Path, record: dict[str, Any]) -> None:
    """Put a run's distilled set beside the config where it is small and no other record comes before this one.

    The record then has a digest of the file.
    """
    records = _records(config.with_suffix(MEASURED))
    before = [other for other in records if _identity(other) != _identity(record) and _order(other) < _order(record)]
    if before or "superseded" in record or not artifact.exists():
        return
    distilled, path = load(artifact), config.with_suffix(".safetensors")
    if distilled.preprocessing.kind == "whitening":  # its matrix is larger than any set
        return
    distilled.info["command"] = record["command"]
    distilled.info.pop("commands", None)
    with TemporaryDirectory() as folder:  # a set that is too large leaves the one before where it is
        distilled.save(small := Path(folder) / FILE, half=True)
        if small.stat().st_size > LARGEST:
            return
        path.write_bytes(small.read_bytes())
    for other in records:
        other.pop("artifact", None)
    write_json(config.with_suffix(MEASURED), records)
    record["artifact"] = hashlib.sha256(path.read_bytes()).hexdigest()


def _with_result(line: str, record: dict[str, Any]) -> str:
    """Return the first line of a config with what a run gave."""
    last = record["evaluations"][-1]
    published = f" of {record['published_steps']:,}" if record["published_steps"] else ""
    departures = [f"{record['steps']:,}{published} steps", *record.get("data_departures", [])]
    changed = ", ".join([*departures, *changed_options(commands(record))]).replace("`", "")
    spread = f" +- {last['accuracy_std']:.1f}" if _networks(record) > 1 else ""
    figure = f"{last['accuracy_mean']:.1f}{spread}"
    before = re.sub(r" (Not run by us yet|Ours \d).*", "", line)
    return f"{before} Ours {figure} ({changed}; {record['environment']['device']})."


def _without_folders(command: str) -> str:
    """Return a command as it is given from the checkout, with no folder of one machine."""
    words = [part for word in shlex.split(command) for part in (word.split("=", 1) if word[:2] == "--" else [word])]
    kept = [re.sub(r"^.*/(configs/\S+\.yaml)$", r"\1", word) for word in words]
    for place in (number for number, word in enumerate(words) if word == "--model.experts"):
        kept[place + 1] = "EXPERTS"
    while "--trainer.default_root_dir" in kept:
        del kept[(place := kept.index("--trainer.default_root_dir")) : place + 2]
    return shlex.join(kept)


def _identity(record: dict[str, Any]) -> tuple[Any, ...]:
    """Return what tells a record from others of its config."""
    last = record["evaluations"][-1]
    evaluated = [last.get(name) for name in ("split", "protocol", "network", "epochs", "num_networks")]
    evaluated.append(last.get("random_real_mean") is None)
    place = [record["environment"].get(name) for name in ("device", "precision")]
    return json.dumps(record["config"], sort_keys=True), record["steps"], record.get("seed"), *place, *evaluated


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
