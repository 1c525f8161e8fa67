"""Labels of synthetic images: class indices, or soft labels of one of three kinds."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LABEL_KINDS = ("index", "probabilities", "logits", "targets")
Regime = Literal["hard", "soft", "targets", "kd"]
"""Labels in training: class indices; one distribution over classes for each image; regression targets; or what a
teacher says of every augmented view, which needs no labels (knowledge distillation)."""
TEACHER = "teacher."
"""Before the names of a teacher's tensors, of a set that brings one."""
LOSSES = {
    "hard": "F.cross_entropy(logits, labels)",
    "soft": "F.cross_entropy(logits, labels)",
    "targets": "0.5 * (logits - labels).square().sum(1).mean()",
}
"""The loss that goes with labels as a protocol wants them; see `Labels.as_`."""


class Labels(nn.Module):
    """Labels of one of `LABEL_KINDS`, `(N,)` or `(N, K)`, convertible to others; a parameter where learned."""

    def __init__(self, values: Tensor, kind: str = "index", learned: bool = False) -> None:
        super().__init__()
        self.kind, self.learned = kind, learned
        if learned:
            self.values = nn.Parameter(values)
        else:
            self.register_buffer("values", values)

    def __len__(self) -> int:
        return len(self.values)

    def forward(self, rows: Tensor | None = None) -> Tensor:
        """Return all labels, or those of some decoded images."""
        return self.values if rows is None else self.values.index_select(0, rows)

    @property
    def own(self) -> Literal["hard", "soft", "targets"]:
        """The form that loses nothing: `hard` for indices, `targets` for those of a regression, `soft` otherwise."""
        return {"index": "hard", "targets": "targets"}.get(self.kind, "soft")

    @property
    def classes(self) -> Tensor:
        """`(N,)` class indices: the arg-max of soft labels."""
        return self.values if self.kind == "index" else self.values.argmax(1)

    def as_(self, wanted: Regime, num_classes: int, dtype: torch.dtype) -> Tensor:
        """Return all labels as a protocol wants them: `(N,)` indices, or `(N, K)` of the networks' dtype.

        These are `hard` and `kd`, indices; `soft`, probabilities, but indices stay; `targets` of a regression,
        probabilities less 1/K, as FRePo and KIP center them.
        """
        if wanted in ("hard", "kd"):
            return self.classes
        if wanted == "soft":
            return self.values if self.kind == "index" else self._probabilities(self.values.to(dtype))
        if self.kind == "targets":
            return self.values.to(dtype)
        values = F.one_hot(self.values, num_classes) if self.kind == "index" else self.values
        return self._probabilities(values.to(dtype)) - 1 / num_classes

    def _probabilities(self, values: Tensor) -> Tensor:
        if self.kind == "logits":
            return values.softmax(1)
        if self.kind == "targets":  # undo the centering, as far as learned values allow
            shifted = (values + 1 / values.shape[1]).clamp(min=0)
            return shifted / shifted.sum(1, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)
        return values
