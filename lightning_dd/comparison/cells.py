"""Finished cells of a table, kept in a file and measured once."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from lightning_dd.artifact.files import check_folder, write_json
from lightning_dd.artifact.schema import misfit, read_json, table
from lightning_dd.errors import UserError


class Cells:
    """Results by everything they depend on, in a JSON file written after each, so that an interrupted table resumes.

    Raises:
        UserError: the file is not one of these.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self._cells = self._read()
        check_folder(self.path.parent)

    def _read(self) -> dict[str, dict[str, Any]]:
        if not self.path.exists():
            return {}
        try:
            return read_json(self.path, {"cells": _kept})["cells"]
        except UserError:
            raise UserError(
                f"{self.path} is not a file of finished cells; move it away or name another output."
            ) from None

    def get(self, what: dict[str, Any]) -> dict[str, Any]:
        """Return the result of a cell, by everything it depends on in plain values; empty where there is none."""
        return self._cells.get(_digest(what), {}).get("result", {})

    def put(self, what: dict[str, Any], result: dict[str, Any]) -> None:
        """Keep the result of a cell, and write the file, with what another program may have put there since."""
        self._cells = {**self._read(), **self._cells, _digest(what): {"what": what, "result": result}}
        write_json(self.path, {"cells": self._cells})


def _kept(value: Any) -> bool:
    return table(value) and all(misfit(cell, {"what": table, "result": table}) is None for cell in value.values())


def _digest(what: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(what, sort_keys=True).encode(), digest_size=16).hexdigest()
