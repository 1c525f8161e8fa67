"""If one process fails, all stop, and the cause is reported once.

Lightning's launcher starts the other processes from rank 0 and stops rank 0 when one of them is gone. Missing there:
the others exit when rank 0 is gone, whatever they wait for, and the cause is one sentence. Under torchrun and SLURM,
these do the same.
"""

import os
import signal
import sys
import threading
import time
from typing import Any, NoReturn

from lightning_dd.errors import UserError

LAUNCHER = "LIGHTNING_DD_LAUNCHER"
"""The environment variable that holds the id of the process that starts others."""
PROCESS_TIMEOUT = 10.0
"""Seconds in which rank 0 saves and reports an error that all processes have."""
LOOK_EVERY = 0.2
SAVING = 2.0
"""Seconds that rank 0 has to save what it learned, once another process is gone."""

_resume_hint = ""
_launcher: Any = None
_finished = threading.Event()
_said = threading.Lock()  # taken by the thread that says why all end


class LostProcessError(UserError):
    """Another process is gone."""


def exit_with_parent() -> None:
    """Make this process exit as soon as the one that started it is gone; call it before anything can block."""
    global _said
    parent = os.getppid()
    _finished.clear()
    _said = threading.Lock()
    if local_rank() and os.environ.get(LAUNCHER) == str(parent):
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    else:
        os.environ[LAUNCHER] = str(os.getpid())


def watch(launcher: Any, resume_hint: str) -> None:
    """Make rank 0 report it when a process that it started is killed.

    Args:
        launcher: `trainer.strategy.launcher`; None in a process that starts no others.
        resume_hint: how the run is resumed.
    """
    global _launcher, _resume_hint
    _launcher, _resume_hint = launcher or _launcher, resume_hint  # a second run in this process launches none
    if hasattr(launcher, "procs"):
        threading.Thread(target=_watch, daemon=True).start()


def finished() -> None:
    """Declare that no process waits for another any more; each may end on its own."""
    _finished.set()


def local_rank() -> int:
    """Return this process's number on its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def lost_process(error: BaseException) -> bool:
    """Whether an error says that another process does not answer any more."""
    text = f"{type(error).__module__}.{type(error).__name__} {error}"
    return isinstance(error, RuntimeError) and any(word in text for word in ("gloo", "NCCL", "torch.distributed"))


def end_others() -> None:
    """Kill the processes that this one has started; they wait for nothing else."""
    _finished.set()  # their end is no news
    for process in getattr(_launcher, "procs", ()):
        if process.poll() is None:
            process.kill()


def wait_for_rank_zero() -> None:
    """Wait for rank 0, which ends the others, in case it has the same error."""
    if local_rank() and not _finished.is_set():
        time.sleep(PROCESS_TIMEOUT)


def explain_lost() -> LostProcessError | None:
    """Return the error of a process that lost another one; None where that one is known to have ended."""
    time.sleep(2 * LOOK_EVERY)  # until it is known how that one ended
    if killed := _killed():
        _say(killed)
    if any(process.poll() for process in getattr(_launcher, "procs", ())):
        return None
    return LostProcessError(f"The connection to another process is lost, which ended or was killed; {_resume_hint}.")


def _watch() -> None:
    while not _finished.wait(LOOK_EVERY):
        killed = _killed()
        if killed and not _finished.is_set():
            _end(killed)


def _killed() -> str:
    """Return which of the processes that this one started was killed; nothing where none was."""
    for rank, process in enumerate(getattr(_launcher, "procs", ()), start=1):
        if (process.poll() or 0) < 0:
            return f"Process {rank} was killed by {signal.Signals(-process.returncode).name}"
    return ""


def _follow(launcher: int) -> None:
    while not _finished.wait(LOOK_EVERY):
        if os.getppid() != launcher:
            _end("The first process was killed" if local_rank() == 1 else "")


def _end(reason: str) -> NoReturn:
    """Report the reason, if there is one, and end this process from any thread."""
    if reason:
        _say(reason)
        time.sleep(SAVING)
    end_others()
    os._exit(1)


def _say(reason: str) -> None:
    """Say why all processes end, unless another thread has."""
    if _said.acquire(blocking=False):
        print(f"\nerror: {reason}, and the others end with it; {_resume_hint}.", file=sys.stderr, flush=True)
