"""Write the tables and charts of all records into `configs/README.md`: `python tools/results_page.py`."""

import sys
from pathlib import Path

import cross_architecture
import curves
from costs import cost_table
from method_status import status_table
from protocol_table import protocol_table
from results_table import search_table, table
from speedrun import speedrun_table

HERE = Path(__file__).resolve().parent.parent
END = "<!-- end of the table -->"
TABLES = {
    "table": table,
    "status": status_table,
    "charts": curves.charts,
    "speedrun": speedrun_table,
    "cross": cross_architecture.cross_table,
    "costs": cost_table,
    "search": search_table,
    "protocols": protocol_table,
}


def main(arguments: list[str]) -> int:
    """Write the page and return the exit code."""
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    page = HERE / "configs" / "README.md"
    for part in (curves, cross_architecture):
        part.draw(HERE)
    page.write_text(with_tables(page.read_text(), HERE))
    return 0


def with_tables(text: str, root: Path) -> str:
    """Return a text with each table of the records under `root` between its two marks."""
    for name, made in TABLES.items():
        begin = f"<!-- {name}: written by tools/results_page.py -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{made(root)}\n{END}{rest.split(END, 1)[1]}"
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
