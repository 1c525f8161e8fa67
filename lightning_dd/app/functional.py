"""Distillation as a function of tensors, for the loops of other programs."""

import io
import warnings
from contextlib import redirect_stdout
from typing import Any, Literal

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lightning_dd.app.python_methods import Method, find_method, make_method
from lightning_dd.app.running import TRAINER_DEFAULTS, prepare_trainer, quiet_trainer, silence_third_party_warnings
from lightning_dd.artifact.labels import Labels
from lightning_dd.callbacks.snapshot import distilled_set
from lightning_dd.data.tensors import FromTensors
from lightning_dd.errors import OptionError, UserError, check_number


@torch.inference_mode(False)
def distill_tensors(
    images: Tensor,
    labels: Tensor,
    /,
    method: Method = "dm",
    ipc: int = 10,
    steps: int | None = None,
    seed: int = 0,
    label_kind: Literal["hard", "soft", "targets"] = "hard",
    **options: Any,
) -> tuple[Tensor, Tensor]:
    """Distill tensors into fewer tensors: no folder, no files, no output, and the global generators are left alone.

    Args:
        images: `(N, C, H, W)`, uint8 or float, in any range: their smallest value counts as black and their largest as
            white, unless all are in [0, 1], and they are normalized inside by their own statistics.
        labels: `(N,)` integers, any: a task's classes may be 3 and 7.
        method: as in `distill`.
        ipc: images per class.
        steps: updates of the images; None takes the published number.
        seed: every random draw is keyed with it.
        label_kind: of the labels that are returned. `hard`, a class each; for methods that learn labels, `soft`,
            probabilities for cross-entropy, or `targets` of half the squared error, `0.5 * (logits -
            targets).square().sum(1).mean()`; the columns of these are the classes in ascending order.
        **options: of the method, for example `lr=1.0`; see `distill`.

    Returns:
        Images `(M, C, H, W)` float32 on the device and in the range of `images` (uint8: in [0, 1]), class after class;
        and their labels, `(M,)` as given, or `(M, K)`.

    Raises:
        UserError: the tensors or an option cannot be used.

    Example:
        >>> import torch, lightning_dd as dd
        >>> images, labels = torch.randn(40, 1, 8, 8), torch.tensor([3, 7]).repeat(20)
        >>> few = dd.distill_tensors(images, labels, ipc=1, steps=1, network="ConvNet:depth=1")  # doctest: +SKIP
    """
    images, labels = torch.as_tensor(images), torch.as_tensor(labels)
    images, labels = (part.clone() if part.is_inference() else part for part in (images, labels))
    _check(images, labels, steps)
    if label_kind not in ("hard", "soft", "targets"):
        raise OptionError("label_kind", f"must be hard, soft or targets, got {label_kind!r}")
    classes, indices = labels.unique(return_inverse=True)
    low, span = _range(images)
    pixels = images if images.dtype == torch.uint8 else (images.float() - low) / span
    data = FromTensors(pixels, indices, classes.tolist())
    module = make_method(find_method(method), {"ipc": ipc, **options}, data, seed)
    said = io.StringIO()
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), quiet_trainer(), redirect_stdout(said):
        silence_third_party_warnings()
        trainer = _trainer(images.device, -1 if steps is None else steps)
        trainer.fit(module, data)
    distilled = distilled_set(trainer, module)
    found = Labels(distilled.labels, distilled.label_kind).as_(label_kind, len(classes), torch.float32)
    if not found.is_floating_point():
        found = classes.cpu()[found]
    return (distilled.images * span + low).to(images.device), found.to(images.device)


def _check(images: Tensor, labels: Tensor, steps: int | None) -> None:
    shapes = f"{tuple(images.shape)} and {tuple(labels.shape)}"
    if images.ndim != 4 or labels.shape != images.shape[:1] or not len(images):
        raise UserError(f"Images and labels are (N, C, H, W) and (N,), and these are {shapes}.")
    if labels.is_floating_point():
        raise UserError(f"Labels are integers, and these are {labels.dtype}.")
    if images.dtype != torch.uint8 and not (images.is_floating_point() and images.isfinite().all()):
        raise UserError("Images are uint8 or finite floats, and these are not.")
    check_number("steps", steps)


def _range(images: Tensor) -> tuple[float, float]:
    """Return where the range of images starts, and its length: methods clamp and step in units of pixels in [0, 1]."""
    if images.dtype == torch.uint8:
        return 0.0, 1.0
    low, high = (float(end) for end in images.aminmax())
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low, (high - low) or 1.0)


def _trainer(device: torch.device, steps: int) -> Trainer:
    """Return a trainer that writes and says nothing."""
    silent = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False)
    place = {"accelerator": "cpu"} if device.type == "cpu" else {"accelerator": "auto", "devices": [device.index or 0]}
    trainer = Trainer(**{**TRAINER_DEFAULTS, "default_root_dir": None}, **silent, **place, max_steps=steps)
    prepare_trainer(trainer)
    return trainer
