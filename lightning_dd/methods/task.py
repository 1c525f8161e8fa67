"""The base of what `fit` runs: a method of distillation, or what prepares one."""

import inspect
from typing import Any, ClassVar

from lightning.pytorch import LightningModule

from lightning_dd.artifact.checkpoint import FORMAT, check_checkpoint
from lightning_dd.data.sampling import Sampling
from lightning_dd.runtime.options import CheckedOptions
from lightning_dd.runtime.timing import Stopwatch


class Task(CheckedOptions, LightningModule):
    """A module that the command line can run on a data set.

    Args:
        num_classes: number of classes (linked to the data on the command line).
        image_shape: `(C, H, W)` (linked to the data on the command line).
        class_names: names in the order of the class indices (linked to the data on the command line).
        seed: every random draw is keyed with it (linked to `seed_everything` on the command line).
    """

    memory_option: ClassVar[str] = "{ipc}"
    """The option that trades time for memory, named when memory runs out."""
    resume_hint: ClassVar[str] = "the same command with {ckpt_path} last resumes it"
    """The way to resume a run that was stopped."""

    def __init__(
        self,
        num_classes: int = 10,
        image_shape: tuple[int, int, int] = (3, 32, 32),
        class_names: tuple[str, ...] = (),
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.num_classes, self.image_shape, self.class_names = num_classes, tuple(image_shape), tuple(class_names)
        self.seed, self.iteration = seed, 0
        self.stopwatch = Stopwatch()
        self.options: dict[str, Any] = {}  # plain values that this run was made from, and
        self.command = ""  # what made it, for checkpoints and records
        self.earlier_commands: list[str] = []  # of a run that went on, from the first on

    @property
    def sampling(self) -> Sampling:
        """The real images that each step wants."""
        raise NotImplementedError

    @property
    def learned(self) -> bool:
        """Whether anything was learned, now or before it was resumed."""
        return self.iteration > 0

    def resolved(self) -> dict[str, Any]:
        """Return what the options came to that were None or left out: plain values, by name."""
        given = self.options.get("model", {}).get("init_args", {})
        found = {}
        for kind in type(self).__mro__:
            for name, parameter in inspect.signature(kind.__init__).parameters.items():
                value = getattr(self, name, None)
                if parameter.default is None and given.get(name) is None and isinstance(value, int | float | str):
                    found.setdefault(name, value)
        return found

    def summary(self) -> dict[str, str]:
        """Return what the start of a run says of this, by title."""
        raise NotImplementedError

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the iteration and what the run was made from."""
        checkpoint["distiller"] = {
            "format": FORMAT,
            "iteration": self.iteration,
            "options": self.options,
            "commands": [*self.earlier_commands, self.command],
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore what `on_save_checkpoint` added.

        Raises:
            UserError: the file is of another program, older than this format, or damaged.
        """
        check_checkpoint(checkpoint)
        saved = checkpoint["distiller"]
        self.iteration = saved["iteration"]
        self.earlier_commands = saved.get("commands", [])

    def on_train_start(self) -> None:
        """Time how long the first batch takes to come: callbacks are through."""
        self.stopwatch.start("data")

    def on_train_batch_end(self, *_: object) -> None:
        """Time how long the next batch takes to come."""
        self.stopwatch.start("data")

    def test_step(self, batch: Any, batch_index: int) -> None:
        """Do nothing: networks are trained and tested by the evaluation callback."""
