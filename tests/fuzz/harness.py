"""Running a command in this process, and what came of it."""

import contextlib
import io
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from lightning_dd.app.commands import main
from lightning_dd.errors import UserError

LONGEST = float(os.environ.get("LIGHTNING_DD_FUZZ_SECONDS", "20"))  # of a case: more is a hang, if nobody else computes


class HangError(BaseException):
    """A case took too long; no `Exception`, so that nothing under test catches it."""


class LaunchError(BaseException):
    """A case was about to start other processes."""


@contextlib.contextmanager
def limited(seconds: float = LONGEST) -> Iterator[None]:
    """Raise `HangError` in the block after so many seconds."""

    def stop(*_: object) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome(action: Callable[[], object], seconds: float = LONGEST) -> str:
    """Return what an action came to.

    It is `ok`, `error: SENTENCE`, `silent N` (an exit code and no sentence), `TRACEBACK ...` or `HANG`.
    """
    said = io.StringIO()
    try:
        with limited(seconds), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            code = action()
    except HangError:
        return "HANG"
    except LaunchError as error:
        return f"LAUNCH {error}"
    except UserError as error:
        return f"error: {error}"
    except SystemExit as error:
        code = error.code
    except BaseException as error:  # whatever comes is what the case is about
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).parent.name}/{Path(frame.filename).name}"
        return f"TRACEBACK {type(error).__name__} in {place}: {' '.join(str(error).split())[:150]}"
    code = code if isinstance(code, int) else 0
    lines = [line for line in said.getvalue().splitlines() if line.startswith("error: ")]
    if not code:
        return "ok"
    return " || ".join(lines) if lines else f"silent {code}: {said.getvalue()[-200:]!r}"


def command(*words: str) -> Callable[[], int]:
    """Return a command of the program as an action."""
    return lambda: main([str(word) for word in words])


def right(found: str) -> bool:
    """Return whether an outcome is one sentence that a person can read."""
    return found.startswith("error: ") and "||" not in found and len(found) < 1500 and "Traceback" not in found
