"""Write runs as one self-contained HTML page: `report RUN... [--out report.html]`.

A run is the folder that `fit` leaves behind. The page holds its images, accuracies, cost, config and how to load it;
with `--evaluation FOLDER`, or where `evaluate` wrote into the run's own folder, other architectures too.
"""

from pathlib import Path

from lightning_dd.app.commands import parser


def main(arguments: list[str]) -> int:
    """Write the page and return the exit code.

    Raises:
        UserError: a folder is no run's, or the page cannot be written.
    """
    options = _options(arguments)
    from lightning_dd.app.reports.page import page
    from lightning_dd.artifact.files import atomic

    text = page(options.runs, options.evaluation)
    with atomic(options.out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"The report is in {options.out} ({len(text) / 2**20:.1f} MB).")
    return 0


def _options(arguments: list[str]):
    made = parser("report")
    made.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's folder")
    made.add_argument("--evaluation", type=Path, metavar="FOLDER", help="where `evaluate` wrote its table")
    made.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="the page")
    return made.parse_args(arguments)
