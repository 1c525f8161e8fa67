"""The folder in which a distilled set is shared: the artifact, and what people and viewers look at."""

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_dd.artifact.card import card
from lightning_dd.artifact.files import atomic, write_json
from lightning_dd.errors import UserError

if TYPE_CHECKING:
    from lightning_dd.artifact.dataset import DistilledDataset

ARTIFACT, PICTURE, RESULTS, CONFIG, CARD = (
    "distilled.safetensors",
    "distilled.png",
    "results.json",
    "config.yaml",
    "README.md",
)
PARQUET = "data/train-00000-of-00001.parquet"
PLACE = re.compile(
    r"(?<![\w./\\~-])(?!//)(?:file://)?(?:~[\w-]*|[A-Za-z]:)?(?:[/\\][^\s'\",;:()\[\]]*)?[/\\](?=[\w.-])"
    r"|(?:[\w.~-]*[/\\])*\.\.[/\\](?:[^\s'\",;:()\[\]]*[/\\])?"
)
"""All of an absolute path, or of one that leaves the folder, but its last part."""
QUOTED = re.compile(r"""(['"])(?:~|[A-Za-z]:|\.\.|file:/)?[/\\][^'"]*[/\\]([^'"/\\]*)\1""")
"""Such a path in quotes, which may have spaces in it."""


def write_folder(
    distilled: "DistilledDataset",
    folder: Path,
    license: str | None = None,
    card_kwargs: dict[str, Any] | None = None,
    place: str = "hf:ORGANIZATION/NAME",
) -> None:
    """Write the folder; see `DistilledDataset.save_pretrained`. `place` is what loads it, for the card."""
    if (folder / "checkpoints").exists():
        raise UserError(f"{folder} is a run's, whose record would be shortened: give another folder.")
    shared = replace(distilled, info=without_places(distilled.info), recipe=without_places(distilled.recipe))
    shared.save(folder / ARTIFACT)
    shared.to_parquet(folder / PARQUET)
    shared.save_picture(folder / PICTURE)
    write_json(folder / RESULTS, shared.info)
    if "config" in shared.info and not _from_python(shared.info["config"]):
        _write(folder / CONFIG, _config(shared.info))
    else:
        (folder / CONFIG).unlink(missing_ok=True)  # that of a set that was here before
    if not (folder / CARD).exists():
        size = (folder / PARQUET).stat().st_size
        _write(folder / CARD, card(shared, size, license, card_kwargs, place))


def _from_python(config: dict[str, Any]) -> bool:
    """Whether the data came from a program, which no command line can give again."""
    return str(config.get("data", {}).get("class_path", "")).endswith("FromDataset")


def without_places(value: Any) -> Any:
    """Return plain values whose texts name no folders of a machine: of such paths the last part remains."""
    if isinstance(value, dict):
        return {key: without_places(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_places(each) for each in value]
    if not isinstance(value, str):
        return value
    if value.startswith("python -m lightning_dd "):  # as `shlex.join` wrote it; a path with spaces is one word
        return shlex.join(_last_part(word) for word in shlex.split(value))
    return _last_part(value)


def _last_part(text: str) -> str:
    """Return a text that is a path, or an option with one, or has some in it, without their folders."""
    option, equals, path = text.partition("=") if text.startswith("-") else ("", "", text)
    whole = re.fullmatch(r"(?:file://)?(?:~[\w-]*|[A-Za-z]:|\.\.)?[/\\].*", path)
    if whole:
        return option + equals + re.split(r"[/\\]", path.rstrip("/\\"))[-1]
    return option + equals + PLACE.sub("", QUOTED.sub(r"\1\2\1", path))


def _config(info: dict[str, Any]) -> str:
    """Return what `fit --config` takes to make the set again."""
    import yaml

    precision = (info.get("environment") or {}).get("precision")
    trainer = {"max_steps": info.get("steps"), **({"precision": precision} if precision else {})}
    config = {"seed_everything": info.get("seed", 0), **info["config"], "trainer": trainer}
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True)


def _write(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
