"""Accuracies of random real images, measured once: they are the same for every method under one protocol."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.files import tensor_digest
from lightning_dd.data.cache import cached
from lightning_dd.data.lazy import Images, LazyImages
from lightning_dd.evaluation.protocol import Protocol
from lightning_dd.networks import NetworkFactory
from lightning_dd.networks.build import sample
from lightning_dd.version import EVALUATION, __version__


def measured_once(measure: Callable[[], float], depends_on: dict[str, Any]) -> float:
    """Return an accuracy from the cache folder, or measure it and keep it."""
    found = cached([], depends_on, lambda: {"accuracy": torch.tensor(measure(), dtype=torch.float64)})
    return float(found["accuracy"])


def shared_recipe(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return a set's recipe without its own protocol and network, which an evaluation decides."""
    return {name: value for name, value in recipe.items() if name not in ("protocol", "network")}


def conditions(
    test_set: tuple[Images, Tensor],
    shown: dict[str, Tensor],
    distilled: DistilledDataset,
    network: NetworkFactory,
    protocol: Protocol,
    seed: int,
) -> dict[str, Any] | None:
    """Return everything that the accuracy of networks depends on but their index, in plain values.

    They are trained on images and labels, `shown`, in place of those of the distilled set. None where the network or
    the protocol is none of this package's: its code may change, and weights may come from elsewhere.
    """
    if not type(protocol).__module__.startswith("lightning_dd."):
        return None
    made_from = getattr(sample(network, distilled.image_shape, distilled.num_classes), "made_from", {})
    if not made_from.get("class_path", "").startswith("lightning_dd."):
        return None
    tested, answers = test_set
    device = tested.device.type
    mixed, lazy = torch.is_autocast_enabled(device), isinstance(tested, LazyImages)
    return {
        "tested": tested.digest if lazy else tensor_digest({"images": tested}),
        "tensors": tensor_digest({**shown, **distilled.tensors, "answers": answers}),
        "recipe": shared_recipe(distilled.recipe),
        "protocol": protocol.describe(),
        "network": made_from,
        "release": [__version__, EVALUATION],
        "numbers": [seed, device, str(torch.get_default_dtype())],
        "precision": str(torch.get_autocast_dtype(device)) if mixed else None,
    }
