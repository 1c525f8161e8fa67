"""The table of evaluation protocols, for `results_page.py`."""

from pathlib import Path

from lightning_dd.evaluation.protocol import Protocol
from lightning_dd.evaluation.protocols import PROTOCOLS
from results_table import markdown

COLUMNS = ["protocol", "of", "epochs", "learning rate", "batch", "labels", "augmentation", "training"]


def protocol_table(root: Path) -> str:
    """Return a row for each protocol as Markdown, whatever lies under `root`."""
    return markdown(COLUMNS, (_row(protocol) for protocol in PROTOCOLS.values()))


def _row(protocol: Protocol) -> list[str]:
    values = [protocol.epochs, protocol.learning_rate, protocol.batch_size]
    if not protocol.trains_networks or protocol.instead_of_epochs:
        values = [None] * 3
    training = type(protocol).__doc__.split("\n\n")[0].rstrip(".")
    numbers = [f"{value:,}" if value is not None else "-" for value in values]
    return [f"`{protocol.name}`", protocol.source, *numbers, protocol.labels, _code(protocol.augmentation), training]


def _code(text: str | None) -> str:
    return f"`{text}`" if text else "-"
