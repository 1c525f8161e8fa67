"""`experts.json`: what the experts in a folder were trained on and how, and how well each does."""

import json
from pathlib import Path
from typing import Any

from lightning_dd.artifact.files import write_json
from lightning_dd.errors import UserError
from lightning_dd.experts.provenance import same_preprocessing
from lightning_dd.experts.recording import read_facts

DESCRIPTION = "experts.json"
FORMAT, FORMAT_VERSION = "lightning_dd.experts", 1


def read_description(folder: Path) -> dict[str, Any] | None:
    """Return what `experts.json` says; None where there is no such file.

    Raises:
        UserError: it is damaged, or of a newer version.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        return None
    try:
        description = json.loads(path.read_text())
        version = description["format_version"] if description["format"] == FORMAT else None
    except (ValueError, KeyError, TypeError):
        version = None
    if version is None:
        raise UserError(f"{path} does not describe experts of this program, or is damaged; give another folder.")
    if version > FORMAT_VERSION:
        raise UserError(f"{path} has format version {version}, newer than this program; install a newer release.")
    return description


def write_description(folder: Path, ours: dict[str, Any]) -> None:
    """Write `experts.json` with what is known of each finished expert in the folder.

    Args:
        folder: of the experts.
        ours: what they have in common: `data`, `preprocessing`, `network`, `training`.

    Raises:
        UserError: it cannot be written.
    """
    experts = [read_facts(file) for file in sorted(folder.glob("expert_*.safetensors"))]
    about = {"format": FORMAT, "format_version": FORMAT_VERSION}
    write_json(folder / DESCRIPTION, {**about, **ours, "experts": experts})


def check_description(folder: Path, ours: dict[str, Any]) -> None:
    """Refuse to add experts to a folder that holds those of another kind.

    Raises:
        UserError: it does.
    """
    theirs = read_description(folder)
    if theirs is None:
        return
    if not same_preprocessing(ours["preprocessing"], theirs["preprocessing"]):
        raise UserError(f"{folder} holds experts that saw other inputs; give another --model.folder.")
    for part in ("data", "network", "training"):
        for name, value in ours[part].items():
            given = theirs[part].get(name)
            if given != value:
                values = " of another kind" if name == "parameters" else f" {given}, not {value}"
                raise UserError(f"{folder} holds experts with {part} {name}{values}; give another --model.folder.")
