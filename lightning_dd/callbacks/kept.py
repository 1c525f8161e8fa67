"""Callbacks whose state is in every checkpoint of a run, and those that save one."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_dd.errors import UserError


class Kept(Callback):
    """A callback without whose state a resumed run would go on to a record of a part of itself."""

    def on_load_checkpoint(self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint without the state; Lightning restores what it finds.

        Raises:
            UserError: says so.
        """
        if not checkpoint["callbacks"].get(self.state_key):
            raise UserError(f"The checkpoint is damaged: it lacks what {self.state_key} recorded up to then.")


class Saving(Callback):
    """A callback that saves what was learned whenever it is asked."""

    def save(self, trainer: Trainer, module: LightningModule) -> None:
        """Save it.

        Raises:
            UserError: it cannot be saved.
        """
        raise NotImplementedError
