"""The page of a report: a part for each run, and the table that belongs to all of them."""

from html import escape
from pathlib import Path
from typing import Any

from lightning_dd.app.reports import sections
from lightning_dd.artifact.dataset import load
from lightning_dd.artifact.schema import RECORD, TABLE, TESTED, Form, read_json
from lightning_dd.artifact.sharing import without_places
from lightning_dd.callbacks.run_paths import ARTIFACT, RESULTS, TESTS
from lightning_dd.errors import UserError

STYLE = Path(__file__).resolve().parent / "style.css"
EVALUATION = "evaluation.json"


def page(runs: list[Path], evaluation: Path | None = None) -> str:
    """Return the page on the runs of some folders and on the table, in another, that belongs to all of them.

    Raises:
        UserError: a folder is no run's, or there is no such table.
    """
    records = [without_places(_read(run / RESULTS)) for run in runs]
    parts = [sections.overview(records)] if len(runs) > 1 else []
    parts += [_one_run(run, record, number) for number, (run, record) in enumerate(zip(runs, records, strict=True), 1)]
    if evaluation:
        parts.append(
            f'<article class="run">{sections.cross_architecture(_read(evaluation / EVALUATION, TABLE))}</article>'
        )
    title = escape(", ".join(dict.fromkeys(record["method"] for record in records)))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title} - distilled data</title>\n<style>\n{STYLE.read_text()}</style>\n</head>\n"
        f"<body>\n<main>\n{''.join(parts)}\n</main>\n</body>\n</html>\n"
    )


def _one_run(folder: Path, record: dict[str, Any], number: int) -> str:
    distilled = load(folder / ARTIFACT)
    own, tests = folder / EVALUATION, folder / TESTS
    parts = [
        sections.heading(record, distilled),
        sections.images(distilled),
        sections.accuracy(record),
        sections.tests(_read(tests, TESTED) if tests.exists() else []),
        sections.cross_architecture(_read(own, TABLE) if own.exists() else None),
        sections.cost(record),
        sections.loading("/".join(folder.resolve().parts[-2:]), distilled),
        sections.config(record),
    ]
    return f'<article class="run" id="run{number}">\n{"".join(parts)}\n</article>\n'


def _read(path: Path, form: Form = RECORD) -> Any:
    try:
        return read_json(path, form)
    except FileNotFoundError:
        if path.with_name(EVALUATION).exists():
            raise UserError(f"{path.parent} is no run but a table: it is given as --evaluation FOLDER.") from None
        raise UserError(f"There is no file {path}; give the folder of a finished run.") from None
