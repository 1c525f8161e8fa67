"""A check that all processes hold the same synthetic set."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lightning_dd.errors import UserError
from lightning_dd.runtime.options import CheckedOptions, PositiveInt

CHUNK = 2**20  # numbers in one sum: the places take eight bytes each


class ReplicaSyncCheck(CheckedOptions, Callback):
    """Compare a checksum of what is learned among processes: after the first step, every n-th and the last.

    A difference means that an update did not go through all processes, and what they learn is worth nothing.

    Args:
        every_n_steps: updates of the images between two comparisons; each costs one exchange of sixteen bytes.

    Raises:
        UserError: the processes differ.
    """

    option_group = "agreement"

    def __init__(self, every_n_steps: PositiveInt = 10) -> None:
        self.every_n_steps = every_n_steps

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: object) -> None:
        """Compare at every n-th step; a run of one process has nothing to compare."""
        step = trainer.global_step
        due = step % self.every_n_steps == 0 or step in (1, trainer.max_steps)
        if not due or trainer.world_size == 1:
            return
        ours = checksum(list(module.parameters()))
        largest, smallest = trainer.strategy.reduce(torch.stack([ours, -ours]), reduce_op="max")
        if largest != -smallest:
            raise UserError(
                f"The processes hold different images after step {step}: a gradient was not shared among them; "
                "run this method on one process and report it."
            )


@torch.no_grad()
def checksum(tensors: list[Tensor]) -> Tensor:
    """Return one 64-bit number that any changed bit changes, and any two values that change places.

    Args:
        tensors: float32 or float64.
    """
    total = torch.zeros((), dtype=torch.int64, device=tensors[0].device)
    for tensor in tensors:
        bits = tensor.flatten().view(torch.int64 if tensor.dtype == torch.float64 else torch.int32)
        for part in bits.split(CHUNK):
            places = torch.arange(1, 2 * len(part), 2, device=part.device)  # odd: no factor can hide a bit
            total = 31 * total + (part.long() * places).sum()
    return total
