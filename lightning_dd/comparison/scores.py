"""DD-Ranking's scores (arXiv 2505.13300): a set's lead without its labels and without augmentation.

Both turn a difference `x` of accuracies into `(e^x - e^-1) / (e - e^-1)`, which is 0 at -1 and 1 at 1, and are shown
times 100. Accuracies are fractions: the package `ddranking` 0.2.0 puts percent into the exponentials, where they
overflow.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lightning_dd.comparison.grid import Cell
from lightning_dd.errors import UserError


def label_robust_score(
    real_hard: float, set_hard: float, set_own: float, random_own: float, weight: float = 0.5
) -> float:
    """Return LRS in percent, from `weight * IOR - (1 - weight) * HLR`.

    The hard-label recovery `HLR = real_hard - set_hard` is the loss against the whole training set, the improvement
    over random `IOR = set_own - random_own` the gain of the method's own recipe.

    Args:
        real_hard: accuracy of networks trained on the whole training set with hard labels, a fraction.
        set_hard: of networks trained on the distilled images with hard labels, without augmentation.
        set_own: of networks trained on the distilled set by the method's own recipe.
        random_own: of networks trained on as many random real images by that recipe.
        weight: of the improvement over random.

    Raises:
        UserError: an accuracy is not a fraction.

    Example:
        >>> round(label_robust_score(0.8, 0.6, 0.5, 0.3), 1)  # both differences are 0.2
        26.9
    """
    _check(real_hard, set_hard, set_own, random_own)
    return _score(weight * (set_own - random_own) - (1 - weight) * (real_hard - set_hard))


def augmentation_robust_score(
    set_augmented: float, random_augmented: float, set_plain: float, random_plain: float, weight: float = 0.5
) -> float:
    """Return ARS in percent, from the mean lead over random real images with and without augmentation.

    Args:
        set_augmented: accuracy of networks trained on the distilled set with augmentation, a fraction.
        random_augmented: of networks trained on as many random real images likewise.
        set_plain: on the distilled set without augmentation.
        random_plain: on the random real images without.
        weight: of the lead with augmentation.

    Raises:
        UserError: an accuracy is not a fraction.

    Example:
        >>> round(augmentation_robust_score(0.6, 0.5, 0.5, 0.4), 1)
        31.4
    """
    _check(set_augmented, random_augmented, set_plain, random_plain)
    return _score(weight * (set_augmented - random_augmented) + (1 - weight) * (set_plain - random_plain))


def scores(
    own: Sequence[Cell],
    augmented: Sequence[Cell],
    plain: Sequence[Cell],
    random: Mapping[tuple[str, int], str],
    real_accuracy: float,
) -> list[dict[str, Any]]:
    """Return both scores of every distilled set under every network.

    The own recipe of a set with soft labels uses these; random images have hard labels.

    Args:
        own: the table under the protocol as it is.
        augmented: of the same sets and networks, with augmentation.
        plain: without.
        random: names of the random real baselines, by those of the distilled sets and their images per class.
        real_accuracy: of networks trained on the whole training set with hard labels, a fraction.
    """
    with_own, with_it, without = map(_means, (own, augmented, plain))
    found = []
    for key in with_own:
        name, ipc, network, labels = key
        if (name, ipc) not in random or (labels == "hard" and (name, ipc, network, "soft") in with_own):
            continue
        beside, hard = (random[name, ipc], ipc, network, "hard"), (name, ipc, network, "hard")
        lrs = label_robust_score(real_accuracy, without[hard], with_own[key], with_own[beside])
        ars = augmentation_robust_score(with_it[key], with_it[beside], without[key], without[beside])
        found.append({"set": name, "labels": labels, "network": network, "lrs": round(lrs, 2), "ars": round(ars, 2)})
    return found


def _means(cells: Sequence[Cell]) -> dict[tuple[str, int, str, str], float]:
    """Return mean accuracies as fractions by set, images per class, network and labels."""
    return {(cell.set, cell.ipc, cell.network, cell.labels): cell.mean / 100 for cell in cells}


def _score(difference: float) -> float:
    return 100 * (math.exp(difference) - math.exp(-1)) / (math.e - math.exp(-1))


def _check(*accuracies: float) -> None:
    for accuracy in accuracies:
        if not 0 <= accuracy <= 1:
            raise UserError(f"Scores take accuracies as fractions from 0 to 1, not {accuracy:g}.")
