"""A run's callbacks, found by their kind."""

from typing import TypeVar

from lightning.pytorch import Callback, Trainer

Kind = TypeVar("Kind", bound=Callback)


def find(trainer: Trainer, kind: type[Kind]) -> Kind | None:
    """Return a run's first callback of a kind; None where there is none."""
    return next((callback for callback in trainer.callbacks if isinstance(callback, kind)), None)
