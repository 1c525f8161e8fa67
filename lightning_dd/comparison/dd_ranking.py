"""A distilled set in the form in which the package `ddranking` (0.2.0) takes it.

That release trains on the set but then has each hard-label score twice and fails when it writes its table; replace its
`save_results` meanwhile. `lightning_dd.comparison.scores` computes the scores without it.
"""

from typing import Any, Literal

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.labels import Labels
from lightning_dd.artifact.preprocessing import Normalization
from lightning_dd.errors import UserError


def for_dd_ranking(
    distilled: DistilledDataset,
    labels: Literal["hard", "soft"] = "hard",
    normalization: Normalization | None = None,
) -> dict[str, Any]:
    """Return arguments for `compute_metrics` of DD-Ranking's `LabelRobustScoreHard` and its other scores.

    Args:
        distilled: the set.
        labels: those that the score asks for: `soft` for `LabelRobustScoreSoft` and `AugmentationRobustScore`.
        normalization: channel statistics under which the package tests; None takes the set's own, which are the
            package's where the set is CIFAR-10 in the `published` normalisation.

    Returns:
        `image_tensor`, normalised; `hard_labels` or `soft_labels` (probabilities); `syn_lr` where the set has a learned
        step size, or else the package searches for one.

    Raises:
        UserError: soft labels are asked for, and the set has none.

    Example:
        >>> from ddranking.metrics import LabelRobustScoreHard  # doctest: +SKIP
        >>> LabelRobustScoreHard(ipc=10).compute_metrics(**for_dd_ranking(distilled))  # doctest: +SKIP
    """
    own = distilled.preprocessing
    own = own if isinstance(own, Normalization) else own.normalization
    arguments: dict[str, Any] = {"image_tensor": (normalization or own)(distilled.images)}
    if labels == "hard":
        arguments["hard_labels"] = distilled.hard_labels
    elif distilled.label_kind == "index":
        raise UserError("The set has hard labels only; ask for those.")
    else:
        kind, dtype = distilled.label_kind, distilled.images.dtype
        arguments["soft_labels"] = Labels(distilled.labels, kind).as_("soft", distilled.num_classes, dtype)
    if "step_size" in distilled.recipe:
        arguments["syn_lr"] = distilled.recipe["step_size"]
    return arguments
