"""From the labels that a set holds to those that a protocol trains on."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


def training_labels(
    labels: Tensor, kind: str, wanted: Literal["hard", "soft", "targets"], num_classes: int, dtype: torch.dtype
) -> Tensor:
    """Return labels as a protocol wants them.

    Args:
        labels: `(N,)` class indices, or `(N, C)`.
        kind: what they are: `"index"`, `"probabilities"`, `"logits"` or `"targets"` (of a regression).
        wanted: `hard`, indices: the arg-max of all but indices; `soft`, probabilities, but indices stay as they are;
            `targets`, those of a regression: probabilities less 1/C, as FRePo and KIP centre them.
        num_classes: C.
        dtype: of the networks.

    Returns:
        `(N,)` indices, or `(N, C)` of that dtype.
    """
    if wanted == "hard":
        return labels if kind == "index" else labels.argmax(1)
    if wanted == "soft":
        return labels if kind == "index" else _probabilities(labels.to(dtype), kind)
    if kind == "targets":
        return labels.to(dtype)
    labels = F.one_hot(labels, num_classes) if kind == "index" else labels
    return _probabilities(labels.to(dtype), kind) - 1 / num_classes


def _probabilities(labels: Tensor, kind: str) -> Tensor:
    if kind == "logits":
        return labels.softmax(1)
    if kind == "targets":  # undo the centring, as far as learned values let it be undone
        shifted = (labels + 1 / labels.shape[1]).clamp(min=0)
        return shifted / shifted.sum(1, keepdim=True).clamp(min=torch.finfo(labels.dtype).tiny)
    return labels
