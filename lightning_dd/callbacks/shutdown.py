"""Orderly end of a run at a signal or when memory runs out."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from lightning_dd.callbacks.find import find
from lightning_dd.errors import UserError
from lightning_dd.runtime import processes
from lightning_dd.runtime.memory import out_of_memory


class InterruptedRunError(UserError):
    """A signal stopped the run.

    Attributes:
        exit_code: 128 and the signal's number, as shells have it.
        together: whether all processes stop after the same step, so that they can still save together.
    """

    def __init__(self, signum: int, step: int, resume_hint: str, together: bool) -> None:
        name = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}.get(signum, str(signum))
        super().__init__(f"Stopped by {name} after {step} steps; {resume_hint}.")
        self.exit_code = 128 + signum
        self.together = together


class GracefulShutdown(Checkpoint):
    """Stop at Ctrl-C or SIGTERM between two steps, so that what is saved is whole.

    During an evaluation, which changes nothing, the run stops at once. A second signal always stops at once. Of several
    processes, all stop after the same step, whichever received the signal. It saves nothing itself, and is a
    `Checkpoint` to Lightning because those are called last: when memory runs out it raises, after they have saved.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._in_step = False
        self._previous: dict[int, Any] = {}
        self._trainer: Trainer | None = None

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Take over the signals; Lightning's own handlers are in place by now."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._trainer = trainer
        for signum in (signal.SIGINT, signal.SIGTERM):
            self._previous[signum] = signal.signal(signum, self._receive)

    def on_train_batch_start(self, *_: object) -> None:
        """Let a signal wait for the end of the step."""
        self._in_step = True

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: object) -> None:
        """Stop here if a signal came during the step."""
        self._in_step = False
        signum = self._received or 0
        if trainer.world_size > 1:
            # one that stopped between two steps would leave the others waiting, with nothing saved
            self._in_step = trainer.global_step != trainer.max_steps and not trainer.should_stop
            if trainer.global_step % getattr(module, "finite_check_interval", 1):  # each exchange makes the host wait
                return
            signum = int(trainer.strategy.reduce(torch.tensor(signum, device=module.device), reduce_op="max"))
        if signum:
            self._stop(signum, together=True)

    def on_fit_end(self, trainer: Trainer, *_: object) -> None:
        """Synchronize for the last time: from here on processes end on their own."""
        trainer.strategy.barrier()
        processes.finished()

    on_test_end = on_fit_end

    def teardown(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """Restore the signal handlers."""
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        self._previous = {}

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Restore the signal handlers; other callbacks save what was learned.

        Raises:
            UserError: memory ran out; it names the method's option.
        """
        self._in_step = False
        self.teardown(trainer, module, "fit")
        folder = getattr(trainer.logger, "log_dir", None)
        if folder and trainer.state.fn == "fit" and trainer.is_global_zero and not trainer.global_step:
            remove_empty_run_dir(Path(folder))
        if out_of_memory(exception):
            raise UserError(f"Out of memory; make {module.memory_option} smaller.") from exception

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        first, self._received = self._received is None, signum
        if self._in_step and first:
            return
        self._stop(signum)

    def _stop(self, signum: int, together: bool = False) -> NoReturn:
        trainer = self._trainer
        together = together or trainer.world_size == 1
        raise InterruptedRunError(signum, trainer.global_step, trainer.lightning_module.resume_hint, together)


@contextmanager
def interruptible(trainer: Trainer) -> Iterator[None]:
    """Let a signal stop a run of one process at once, though it is in a step: what is done within changes nothing."""
    guard = find(trainer, GracefulShutdown)
    if guard is None or trainer.world_size > 1:
        yield
        return
    in_step, guard._in_step = guard._in_step, False
    if guard._received is not None:
        guard._stop(guard._received)
    yield
    guard._in_step = in_step


def remove_empty_run_dir(folder: Path) -> None:
    """Remove a run's folder that holds only files from before the first step."""
    files = [path for path in folder.rglob("*") if not path.is_dir()] if folder.is_dir() else []
    if files and all(path.name == "config.yaml" or path.name.startswith("events.out.tfevents") for path in files):
        for path in files:
            path.unlink()
        with suppress(OSError):  # the folder of all runs of this name goes only if it is empty
            folder.rmdir()
            folder.parent.rmdir()
