"""Checks of distilled sets, on which everything that uses one later relies."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_dd.artifact import schema
from lightning_dd.artifact.codecs import CODECS, Codec, restore
from lightning_dd.artifact.labels import LABEL_KINDS
from lightning_dd.errors import UserError

if TYPE_CHECKING:
    from lightning_dd.artifact.dataset import DistilledDataset

LARGEST_VALUE = 1e4
"""Of normalized pixels and of labels: beyond it a network's activations overflow, and a run has diverged."""
LARGEST_GROWTH = 256
"""Decoded numbers for each stored one, above `FREE_NUMBERS`."""
FREE_NUMBERS = 2**25
SUMS_TO_ONE = 1e-2
DESCRIPTION = {
    "class_names": lambda value: isinstance(value, list),
    "preprocessing": {"mean": [schema.real], "std": [schema.real], "whitening?": schema.digest},
    "label_kind?": schema.text,
    "learned_labels?": (None, lambda value: isinstance(value, bool)),
    "recipe?": schema.RECIPE,
    "info?": schema.INFO,
    "codec?": (
        None,
        {"kind": schema.text, "num_classes": schema.at_least_one, "ipc": schema.at_least_one, "options": schema.table}
        | {"image_shape": [schema.at_least_one]},
    ),
}
"""The form of a file's description of its tensors."""


def check_class_names(names: Sequence[str]) -> None:
    """Raise a `UserError` where class names are no texts, or one is empty or occurs twice."""
    if not names or not all(map(schema.text, names)) or "" in names or len(set(names)) < len(names):
        raise UserError("Class names are texts, of which none occurs twice or is empty.")


def check_set(distilled: "DistilledDataset") -> None:
    """Refuse images, labels, class names and preprocessing that do not go together, or that nothing can be learned on.

    Raises:
        UserError: says what is wrong.
    """
    _check_images(distilled.images)
    names = distilled.class_names
    check_class_names(names)
    if distilled.codec is not None and distilled.codec.num_classes != len(names):
        raise UserError(f"The codec stores images of {distilled.codec.num_classes} classes, not of {len(names)}.")
    _check_labels(distilled)
    schema.check_form(distilled.recipe, schema.RECIPE, "The recipe of a distilled set")
    schema.check_form(distilled.info, schema.INFO, "The info of a distilled set")
    if unknown := set(distilled.info.get("selected", ())) - set(names):
        raise UserError(f"The set says that class {min(unknown)!r} was selected, which it does not have.")
    for name, tensor in distilled.tensors.items():
        if tensor.is_complex() or not tensor.isfinite().all():
            raise UserError(f"The tensor {name} holds values that are not finite; the run that made them diverged.")
    order = distilled.tensors.get("order", torch.zeros(1, dtype=torch.int64))
    if order.dtype != torch.int64 or not order.numel() or not 0 <= order.min() <= order.max() < len(distilled.images):
        raise UserError("The order of the set's training steps names images that it does not have.")
    distilled.preprocessing.check(distilled.image_shape)
    largest = float(distilled.preprocessing.normalization(distilled.images.detach()).abs().max())
    if not largest <= LARGEST_VALUE:
        raise UserError(f"The normalized images reach {largest:.3g}, which no network learns from; their run diverged.")


def _check_images(images: Tensor) -> None:
    if images.ndim != 4 or not images.numel() or not images.is_floating_point() or images.layout != torch.strided:
        raise UserError(f"Distilled images are floats (N, C, H, W), not {images.dtype} {tuple(images.shape)}.")
    if not images.isfinite().all():
        raise UserError("The distilled images hold values that are not finite; the run that made them diverged.")


def _check_labels(distilled: "DistilledDataset") -> None:
    labels, names, kind = distilled.labels, distilled.class_names, distilled.label_kind
    count = len(distilled.images)
    if kind not in LABEL_KINDS:
        raise UserError(f"Label kind '{kind}' is unknown; it is one of {', '.join(LABEL_KINDS)}.")
    if labels.shape != (count, *(() if kind == "index" else (len(names),))):
        shapes = f"{tuple(distilled.images.shape)} images of {len(names)} classes do not go with {tuple(labels.shape)}"
        raise UserError(f"{shapes} labels of the kind {kind}.")
    if kind == "index":
        if labels.dtype != torch.int64 or not 0 <= labels.min() <= labels.max() < len(names):
            raise UserError(f"Labels of the kind index are integers from 0 to {len(names) - 1}, and these are not.")
        return
    if not labels.is_floating_point() or not labels.isfinite().all():
        raise UserError("The labels hold values that are not finite; the run that made them diverged.")
    if labels.abs().max() > LARGEST_VALUE:
        raise UserError(f"The labels reach {float(labels.detach().abs().max()):.3g}; the run that made them diverged.")
    if kind == "probabilities" and (labels.min() < 0 or (labels.sum(1) - 1).abs().max() > SUMS_TO_ONE):
        raise UserError("Labels of the kind probabilities are not below 0 and sum to 1, and these do not.")


def check_counts(distilled: "DistilledDataset", told: int | list[int] | None) -> None:
    """Refuse a file whose classes have other numbers of images than it tells.

    Args:
        distilled: the set.
        told: of each class that has images, in their order; one number where they have equally many; None in files of
            version 1, where they do.

    Raises:
        UserError: says so.
    """
    if distilled.label_kind != "index":
        return
    counts = distilled.labels.bincount(minlength=distilled.num_classes)
    present = counts[counts > 0].tolist()
    named = len(distilled.info.get("selected", distilled.class_names))
    if present != (told if isinstance(told, list) else [told or present[0]] * named):
        raise UserError(
            "The classes of the set have other numbers of images than it tells; it is damaged, copy or make it again."
        )


def restore_codec(description: dict[str, Any], state: dict[str, Tensor]) -> Codec:
    """Return the codec of a file, after having seen that it fits what is stored and decodes to no more than it may.

    Raises:
        UserError: it does not, or its class has not been imported.
    """
    if description["kind"] in CODECS:
        with torch.device("meta"):  # shapes without memory
            plan = CODECS[description["kind"]](
                description["num_classes"],
                description["ipc"],
                tuple(description["image_shape"]),
                **description["options"],
            )
        wanted = {name: (tuple(tensor.shape), tensor.is_floating_point()) for name, tensor in plan.state_dict().items()}
        if wanted != {name: (tuple(tensor.shape), tensor.is_floating_point()) for name, tensor in state.items()}:
            raise UserError(
                "The stored tensors are not those of the set's codec; it is damaged, copy or make it again."
            )
        stored = sum(tensor.numel() for tensor in state.values())
        needed = max(len(plan) * math.prod(plan.image_shape), *(buffer.numel() for buffer in plan.buffers()), 0, 0)
        if needed > max(FREE_NUMBERS, LARGEST_GROWTH * stored):
            raise UserError(f"The set's codec makes {needed:,} numbers out of {stored:,}; the file is damaged.")
    return restore(description, state)
