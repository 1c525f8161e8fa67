"""Writing expert trajectories: a snapshot after each epoch, and one file when the expert is finished.

An interrupted run leaves whole snapshots behind, and resumes from the last of them.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from lightning_dd.artifact.files import save_tensors


def expert_file(folder: Path, number: int) -> Path:
    """Return the path of a finished expert's trajectory."""
    return folder / f"expert_{number:04d}.safetensors"


def read_facts(file: Path) -> dict[str, Any]:
    """Return the facts of a finished expert.

    Raises:
        SafetensorError: the file is damaged.
    """
    with safe_open(file, "pt") as opened:
        return json.loads((opened.metadata() or {})["expert"])


class Recording:
    """One expert's trajectory while it is made.

    Args:
        folder: of all experts.
        number: of this one.
        keep_epochs: epochs whose weights are kept, besides those at the start; the last ones are kept in any case.
    """

    def __init__(self, folder: Path, number: int, keep_epochs: int) -> None:
        self.number, self.keep_epochs = number, keep_epochs
        self.file = expert_file(folder, number)
        self._parts = self.file.with_suffix(".parts")

    @property
    def finished(self) -> bool:
        """Whether the whole trajectory is on disk."""
        return self.file.is_file()

    @property
    def epochs_done(self) -> int | None:
        """The last epoch on disk; 0 is the start, None is nothing."""
        epochs = [int(path.stem.removeprefix("epoch_")) for path in self._parts.glob("epoch_*.safetensors")]
        return max(epochs, default=None)

    def add(self, epoch: int, weights: Tensor, seconds: float = 0.0) -> None:
        """Write a snapshot of the weights `(W,)` after an epoch and the seconds of training up to it; 0 is the start.

        Raises:
            UserError: the file cannot be written.
        """
        save_tensors(self._part(epoch), {"weights": weights, "seconds": torch.tensor(seconds)})
        if epoch - 1 > self.keep_epochs:
            self._part(epoch - 1).unlink(missing_ok=True)

    def weights(self, epoch: int) -> Tensor:
        """Return a snapshot `(W,)` in float32."""
        return load_file(self._part(epoch))["weights"]

    def seconds(self, epoch: int) -> float:
        """Return how long the training up to a snapshot took."""
        return float(load_file(self._part(epoch)).get("seconds", 0.0))

    def finish(self, epochs: int, weights: Tensor, facts: dict[str, Any]) -> None:
        """Put snapshots, weights `(W,)` after the last epoch and plain facts into one file; remove the snapshots.

        Raises:
            UserError: the file cannot be written.
        """
        weights = weights.detach().cpu()
        kept = [self.weights(epoch) for epoch in range(min(self.keep_epochs, epochs - 1) + 1)]
        tensors = {"trajectory": torch.stack([*kept, weights] if self.keep_epochs >= epochs else kept)}
        # one key: the library writes several in an order of its own, and files would differ
        save_tensors(self.file, {**tensors, "final": weights}, {"expert": json.dumps({"number": self.number, **facts})})
        shutil.rmtree(self._parts)

    def _part(self, epoch: int) -> Path:
        return self._parts / f"epoch_{epoch:04d}.safetensors"
