"""Say in one sentence what was wrong with a command line or a config file."""

import difflib
import re
from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from lightning_dd.errors import UserError


class PlainParser(LightningArgumentParser):
    """A parser that raises `UserError` with one sentence in place of printing its usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise the sentence for a message; parsers within parsers report to the outermost as usual."""
        if not self.exit_on_error:
            super().error(message, ex)
        raise UserError(sentence(message, self)) from None


def sentence(message: str, parser: Any) -> str:
    return message
