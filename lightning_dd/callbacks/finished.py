"""A run that has had all its steps, or its time, when it is resumed."""

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer

from lightning_dd.callbacks.find import find


def reason_to_end(trainer: Trainer, steps: int) -> tuple[str, str] | None:
    """Return what a resumed run has had already, and the option that gives it more; None of one that goes on."""
    if 0 < trainer.max_steps <= steps:
        return f"its {steps:,} steps", "trainer.max_steps"
    timer = find(trainer, Timer)
    left = None if timer is None else timer.time_remaining()
    return None if left is None or left > 0 or not steps else ("its time", "trainer.max_time")


def what_is_left(over: tuple[str, str], made_up: bool, enabled: bool) -> str:
    """Return a sentence about the evaluation of such a run, with what it has had and the option of `reason_to_end`."""
    had, option = over
    if made_up:
        return f"The run has {had}; its final evaluation is left to do."
    done = f"the run has {had}{' and its evaluation' if enabled else ''}"
    return f"Nothing is left to do: {done}; use `test` to evaluate it again, or set a larger {option}."
