"""The start of a run: what it works on and makes, and how long it will take."""

import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor

from lightning_dd.callbacks.evaluation import Evaluation
from lightning_dd.callbacks.find import find
from lightning_dd.callbacks.run_paths import run_folder
from lightning_dd.evaluation.duration import duration
from lightning_dd.runtime.environment import device_name
from lightning_dd.runtime.memory import peak_memory
from lightning_dd.runtime.options import CheckedOptions

TIMED = 10  # steps after the first, which compiles and warms up
ENOUGH_SECONDS = 30.0  # seconds of steps after which fewer will do
TITLES, WIDTH = 14, 120  # columns

Advice = Callable[[Trainer, LightningModule], list[str]]


class RunSummary(CheckedOptions, Callback):
    """Print what a run works on and makes before the first step, and how long it will take after a few.

    Args:
        enabled: whether to print it.
    """

    option_group = "summary"

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled
        self.advice: Advice | None = None  # of the entry point, which knows how options are spelled
        self._timed, self._seconds = 0, 0.0
        self._told = not enabled

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Print the block; finding the run's folder is collective."""
        folder = run_folder(trainer)
        if trainer.is_global_zero and self.enabled:
            print(f"\n{_table(self._rows(trainer, module, folder))}\n", flush=True)

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: object) -> None:
        """Add a step's time, and say how long the rest will take once enough are known."""
        if self._told or not trainer.is_global_zero:
            return
        if self._timed:
            self._seconds += module.stopwatch.since("data")  # when its batch was asked for
        last = trainer.global_step == trainer.max_steps
        if self._timed == TIMED or self._seconds > ENOUGH_SECONDS or last:
            self._told = True
            print(f"\n{self._time(trainer, module)}\n", flush=True)
        self._timed += 1

    def _rows(self, trainer: Trainer, module: LightningModule, folder: Path) -> dict[str, str]:
        evaluation, data = find(trainer, Evaluation), trainer.datamodule
        size = sum(part.nbytes for part in (data.train_images, data.test_images, data.held_out_images))
        used = f"{_size(peak_memory(module.device))} so far, images {_size(size)}"
        rows = {
            **data_rows(data),
            **module.summary(),
            **({"evaluation": evaluation.summary(trainer, module)} if evaluation else {}),
            "memory": f"{used}; {device_name(module.device)}",
            "folder": str(folder),
        }
        advice = self.advice(trainer, module) if self.advice else []
        return rows | ({"advice": " ".join(advice)} if advice else {})

    def _time(self, trainer: Trainer, module: LightningModule) -> str:
        """Return the line about time and memory."""
        steps, parts = trainer.max_steps - trainer.global_step, []
        if self._timed and steps > 0:
            step = self._seconds / self._timed
            more = f"{steps:,} more step{'s' * (steps > 1)}"
            parts.append(f"about {duration(step * steps)} for {more} ({step:.3g} s each)")
        evaluation = find(trainer, Evaluation)
        if evaluation and evaluation.enabled and (ahead := evaluation.time_ahead(trainer, module)):
            parts.append(ahead)
        memory = f"peak memory so far {_size(peak_memory(module.device))}."
        return f"Ahead: {', '.join([*parts, memory])}" if parts else f"P{memory[1:]}"


def data_rows(data: LightningDataModule) -> dict[str, str]:
    """Return a data set's classes, sizes and shape, and what was converted, by title."""
    counts = torch.bincount(data.train_labels, minlength=data.num_classes)
    channels, height, width = data.image_shape
    color = "gray" if channels == 1 else "color"
    facts = [
        f"{data.name}: {data.num_classes} classes of {height}x{width} pixels in {color}",
        f"{len(data.train_labels):,} images to train on ({_range(counts, data.class_names)})",
        *([f"{len(data.held_out_labels):,} held out"] if len(data.held_out_labels) else []),
        f"{len(data.test_labels):,} to test on",
    ]
    rows = {"data": "; ".join([", ".join(facts), *data.departures])}
    return rows | ({"converted": "; ".join(data.conversions)} if data.conversions else {})


def _range(counts: Tensor, names: tuple[str, ...]) -> str:
    low, high = int(counts.argmin()), int(counts.argmax())
    if counts[low] == counts[high]:
        return f"{int(counts[low]):,} per class"
    return f"{int(counts[low]):,} of {names[low]} to {int(counts[high]):,} of {names[high]}"


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _table(rows: dict[str, str]) -> str:
    width = min(shutil.get_terminal_size((WIDTH, 24)).columns, WIDTH)
    indent = " " * TITLES
    return "\n".join(
        textwrap.fill(
            text,
            width,
            initial_indent=f"{title:<{TITLES}}",
            subsequent_indent=indent,
            break_on_hyphens=False,
            break_long_words=False,
        )
        for title, text in rows.items()
    )
