"""Commands as records show them."""

import re
import shlex
from collections.abc import Sequence


def command_line(words: Sequence[str]) -> str:
    """Return a command as it was typed, but for the data folder, which is written `DATA`.

    Args:
        words: the arguments of the command.
    """
    shown = ["python", "-m", "lightning_dd"]
    for word in words:
        if shown[-1].startswith("--data") and shown[-1].endswith(".root"):
            word = "DATA"
        shown.append(re.sub(r"^(--data\.(?:init_args\.)?root=).*", r"\1DATA", word))
    return shlex.join(shown)
