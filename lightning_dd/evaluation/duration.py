"""The time that an evaluation will take, from a few mini-batches of it."""

import time
from collections.abc import Callable
from itertools import islice

import torch

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.labels import Labels
from lightning_dd.evaluation.evaluate import TestSet
from lightning_dd.evaluation.protocol import Protocol
from lightning_dd.networks import NetworkFactory, build
from lightning_dd.rng import generator
from lightning_dd.training.loop import accuracy, train_network

TIMED = 3  # mini-batches


def duration(seconds: float) -> str:
    """Return seconds as people say them."""
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 72 * 3600 else f"{seconds / 86400:.0f} days"


def network_seconds(
    distilled: DistilledDataset,
    test_set: TestSet,
    num_test: int,
    network: NetworkFactory,
    protocol: Protocol,
    seed: int,
) -> float | None:
    """Return about how many seconds a network takes to train on a set and to be tested; None where none is trained.

    The estimate draws from a generator of its own and changes nothing. The test set is a part of the `num_test` images
    that the network will be tested on; for the others see `evaluate`.
    """
    protocol = protocol.bind(distilled.recipe)
    if not protocol.trains_networks:
        return None
    (test_images, test_labels), dtype = test_set, torch.get_default_dtype()
    device, draws = test_images.device, generator(seed, "evaluation/estimate")
    labels = Labels(distilled.labels.to(device), distilled.label_kind)
    labels = labels.as_(protocol.labels, distilled.num_classes, dtype)
    weights = generator(seed, "evaluation/estimate", device=device)
    fresh = build(network, distilled.image_shape, distilled.num_classes, weights, device).train()
    augment = protocol.augment(distilled.recipe.get("augmentation"))
    rows, optimizer, schedule = protocol.plan(fresh, len(distilled), distilled, draws)
    steps = len(rows) if isinstance(rows, torch.Tensor) else protocol.num_steps(len(distilled))
    first = list(islice(rows, TIMED + 1))
    images = distilled.prepared.to(device, dtype)

    def train(part: list[torch.Tensor]) -> None:
        batches = protocol.batches(images, labels, part, distilled, augment, draws)
        train_network(fresh, batches, protocol.loss, optimizer, schedule)

    warm_up = _seconds(device, train, first[:1])
    step = _seconds(device, train, first[1:]) / len(first[1:]) if len(first) > 1 else warm_up
    test = _seconds(device, accuracy, fresh, test_images.to(dtype), test_labels)
    return step * steps + test * num_test / len(test_images)


def _seconds(device: torch.device, work: Callable[..., object], *arguments: object) -> float:
    start = time.perf_counter()
    work(*arguments)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
