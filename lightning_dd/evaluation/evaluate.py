"""The test accuracy of fresh networks trained on a distilled set, with random real images for comparison."""

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.labels import Labels
from lightning_dd.data.lazy import Images
from lightning_dd.evaluation.baseline import conditions, measured_once
from lightning_dd.evaluation.protocol import Protocol
from lightning_dd.networks import NetworkFactory, build
from lightning_dd.rng import generator, key
from lightning_dd.training.loop import Classifier, accuracy

RandomReal = Callable[[int], tuple[Tensor, Tensor | Labels]]
"""Called with a network's index; returns fresh random real images, prepared, and their labels, or class indices."""

TestSet = tuple[Images, Tensor]
"""Prepared images `(N, C, H, W)`, or lazy ones, and labels `(N,)`, on the device on which networks are trained."""


@dataclass
class Accuracies:
    """Accuracies in percent of networks trained on the distilled set and on random real images.

    Attributes:
        distilled: one number a network.
        random_real: one number a network; empty where it was not asked for.
        random_coded: likewise, of more random real images, stored by the set's codec in the same budget.
        network: name of the network.
        made_from: its class and options (see `Network.made_from`); empty where it is another library's.
        seconds: how long it took.
    """

    distilled: list[float] = field(default_factory=list)
    random_real: list[float] = field(default_factory=list)
    random_coded: list[float] = field(default_factory=list)
    network: str = ""
    made_from: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def record(self, step: int, protocol: Protocol, split: str) -> dict[str, Any]:
        """Return one entry of `evaluations` in `results.json`; standard deviations are over the population."""
        real = protocol.for_real().name
        for_real = {"random_real_protocol": real} if real != protocol.name else {}
        coded = {"random_coded_mean": _mean(self.random_coded), "random_coded_std": _std(self.random_coded)}
        return {
            "step": step,
            "network": self.network,
            **({"network_made_from": self.made_from} if self.made_from else {}),
            "protocol": protocol.name,
            **for_real,
            "epochs": protocol.epochs,
            "split": split,
            "num_networks": len(self.distilled),
            "accuracies": [round(value, 3) for value in self.distilled],
            "accuracy_mean": _mean(self.distilled),
            "accuracy_std": _std(self.distilled),
            "random_real_mean": _mean(self.random_real),
            "random_real_std": _std(self.random_real),
            **(coded if self.random_coded else {}),
            "seconds": round(self.seconds, 1),
        }


def evaluate(
    distilled: DistilledDataset,
    random_real: RandomReal | None,
    test_set: TestSet,
    network: NetworkFactory,
    protocol: Protocol,
    networks: Iterable[int],
    seed: int,
    random_coded: RandomReal | None = None,
    cache: bool = False,
) -> Accuracies:
    """Train networks on a distilled set and, for comparison, on random real images; return their test accuracies.

    A network depends on the seed and its index alone: any process may take any share of the indices, and all sets
    are given the same initial weights and the same order of images.

    Args:
        distilled: the set; its preprocessing is that of the test images.
        random_real: gives as many real images; None leaves the comparison out.
        test_set: prepared images and labels.
        network: called with an image shape and a number of classes.
        protocol: of the training.
        networks: their indices.
        seed: of the run.
        random_coded: gives random real images as the set's codec stores and decodes them.
        cache: keep the accuracies of random real images on disk, and take them from there.
    """
    start = time.perf_counter()
    result = Accuracies()
    device, dtype = test_set[0].device, torch.get_default_dtype()  # of the networks that are built here
    test_set = test_set[0].to(dtype), test_set[1]
    protocol = protocol.bind(distilled.recipe)
    for_real = protocol.for_real()

    def measure(images: Tensor, labels: Labels, protocol: Protocol, index: int) -> float:
        place = device, dtype
        classifier = fit_network((images, labels), distilled, network, protocol, seed, index, place)
        result.network = getattr(classifier, "description", type(classifier).__name__)
        result.made_from = getattr(classifier, "made_from", {})
        return accuracy(classifier, *test_set)

    def baseline(draw: RandomReal, index: int) -> float:
        images, labels = draw(index)
        labels = labels if isinstance(labels, Labels) else Labels(labels)
        train = partial(measure, images, labels, for_real, index)
        shown = {"images": images, labels.kind: labels.values}
        about = conditions(test_set, shown, distilled, network, for_real, seed) if cache else None
        return measured_once(train, {"index": index, **about}) if about else train()

    for index in networks:
        if index == 0 or protocol.trains_networks:  # a kernel gives the same every time
            labels = Labels(distilled.labels, distilled.label_kind)
            result.distilled.append(measure(distilled.prepared, labels, protocol, index))
        for draw, accuracies in ((random_real, result.random_real), (random_coded, result.random_coded)):
            if draw is not None:
                accuracies.append(baseline(draw, index))
    result.seconds = time.perf_counter() - start
    return result


def fit_network(
    examples: tuple[Tensor, Labels],
    distilled: DistilledDataset,
    network: NetworkFactory | nn.Module,
    protocol: Protocol,
    seed: int,
    index: int,
    place: tuple[torch.device, torch.dtype],
) -> Classifier:
    """Return a classifier that learned examples, prepared images `(N, C, H, W)` and their labels, under a protocol.

    It depends on the seed and its index alone; `distilled` is the set that the protocol was bound to, `place` device
    and dtype of the network. A network itself, in place of what makes one, goes on from the weights that it has.
    """
    images, labels = examples[0].to(*place), examples[1].to(place[0])
    targets = labels.as_(protocol.labels, distilled.num_classes, place[1])
    weights = generator(seed, "evaluation/weights", index, place[0])
    fresh = partial(build, network, distilled.image_shape, distilled.num_classes, weights, place[0])
    if isinstance(network, nn.Module):
        fresh = partial(network.to, *place)
    draws = generator(seed, "evaluation/training", index)
    with torch.random.fork_rng(devices=[place[0]] if place[0].type == "cuda" else []):
        torch.manual_seed(key(seed, "evaluation/dropout", index))  # layers that drop know the global generator alone
        return protocol.fit(fresh, images, targets, distilled, draws)


def _mean(values: list[float]) -> float | None:
    return round(statistics.fmean(values), 3) if values else None


def _std(values: list[float]) -> float | None:
    return round(statistics.pstdev(values), 3) if values else None
