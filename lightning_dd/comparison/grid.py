"""A table of accuracies: every set under every network."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.preprocessing import Preprocessing
from lightning_dd.comparison.candidates import Candidate
from lightning_dd.comparison.cells import Cells
from lightning_dd.data.lazy import prepared
from lightning_dd.evaluation.evaluate import TestSet, evaluate
from lightning_dd.evaluation.protocol import Protocol
from lightning_dd.evaluation.protocols import find_protocol
from lightning_dd.networks.named import named_network, sample_network
from lightning_dd.training.data import content_digest
from lightning_dd.training.pretrained import source_digest
from lightning_dd.version import EVALUATION, __version__


@dataclass
class Cell:
    """A set under a network: the row with its label regime, the column, accuracies in percent, one a network."""

    set: str
    labels: str
    ipc: int
    network: str
    accuracies: list[float] = field(default_factory=list)
    seconds: float = 0.0
    parameters: int = 0

    @property
    def mean(self) -> float:
        """Mean accuracy in percent."""
        return statistics.fmean(self.accuracies)

    @property
    def std(self) -> float:
        """Standard deviation over the networks, as that of a population."""
        return statistics.pstdev(self.accuracies)

    def record(self) -> dict[str, Any]:
        """Return plain values, for files."""
        return {
            **{name: getattr(self, name) for name in ("set", "labels", "ipc", "network", "parameters")},
            "num_networks": len(self.accuracies),
            "accuracy_mean": round(self.mean, 3),
            "accuracy_std": round(self.std, 3),
            "accuracies": [round(value, 3) for value in self.accuracies],
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True)
class Conditions:
    """The settings that all cells of a table share.

    Attributes:
        protocol: its name.
        data: name of the data set.
        test_images: pixels `(N, C, H, W)`, not prepared.
        test_labels: `(N,)` class indices.
        epochs: in place of the protocol's.
        augmented: whether to augment, by DSA where the protocol has none; None leaves that to the protocol.
        mixed: whether networks compute in bf16 where that keeps their accuracy, as under `bf16-mixed` of a trainer.
    """

    protocol: str
    data: str
    test_images: Tensor
    test_labels: Tensor
    num_classes: int
    epochs: int | None = None
    seed: int = 0
    device: str = "cpu"
    augmented: bool | None = None
    mixed: bool = False

    @cached_property
    def tested(self) -> str:
        """A digest of the test images and labels."""
        return content_digest(self.test_images, self.test_labels)

    def protocol_for(self, network: nn.Module) -> Protocol:
        """Return the protocol for a network."""
        protocol = find_protocol(self.protocol, self.epochs, self.data, lambda: network)
        if self.augmented is None:
            return protocol
        usual = find_protocol("common", data=self.data).augmentation
        return replace(protocol, augmentation=(protocol.augmentation or usual) if self.augmented else None)


def fill(
    candidates: Iterable[Candidate],
    networks: Mapping[str, int],
    conditions: Conditions,
    cells: Cells,
    report: Callable[[Cell, bool], None] = lambda cell, kept: None,
) -> list[Cell]:
    """Measure the cells that are not finished, and return the table, set by set.

    A cell is kept after each of its networks; a later call with more networks adds to them.

    Args:
        candidates: the rows.
        networks: the columns: number of each network, by compact name.
        conditions: shared by all cells.
        cells: those finished before.
        report: called with each complete cell, and whether it was so before.
    """
    candidates = list(candidates)
    prepared = _Prepared(conditions)
    table: dict[tuple[int, str], Cell] = {}
    for network, count in networks.items():
        sample = sample_network(network, tuple(conditions.test_images.shape[1:]), conditions.num_classes)
        parameters = sum(p.numel() for p in sample.parameters())
        rules = conditions.protocol_for(sample)
        users = {"code": sample.written_in, "rules": type(rules)}  # of a network and a protocol of the user's
        code = {name: own for name, kind in users.items() if (own := source_digest(kind))}
        for row, candidate in enumerate(candidates):
            protocol = candidate.under(rules)
            what = _what(candidate, network, protocol, conditions) | code
            done = cells.get(what).get("accuracies", {})
            missing = [index for index in range(count) if str(index) not in done]
            for index in missing:
                _measure(candidate, network, protocol, index, prepared, cells, what)
            result = cells.get(what)
            accuracies, seconds = ([result[part][str(i)] for i in range(count)] for part in ("accuracies", "seconds"))
            about = candidate.name, candidate.labels, candidate.ipc, network
            table[row, network] = cell = Cell(*about, accuracies, sum(seconds), parameters)
            report(cell, not missing)
    return [table[row, network] for row in range(len(candidates)) for network in networks]


def _measure(
    candidate: Candidate, network: str, protocol: Protocol, index: int, prepared: "_Prepared", cells: Cells, what: dict
) -> None:
    """Add the accuracy of one network to its cell."""
    start = time.perf_counter()
    distilled, conditions = candidate.make(index), prepared.conditions
    test_set, factory = prepared.for_set(distilled), named_network(network)
    # weights change in place, which a cache of their bf16 copies would not notice
    with torch.autocast(conditions.device, torch.bfloat16, enabled=conditions.mixed, cache_enabled=False):
        (accuracy,) = evaluate(distilled, None, test_set, factory, protocol, [index], conditions.seed).distilled
    result = cells.get(what) or {"accuracies": {}, "seconds": {}}
    result["accuracies"][str(index)], result["seconds"][str(index)] = accuracy, time.perf_counter() - start
    cells.put(what, result)


def _what(candidate: Candidate, network: str, protocol: Protocol, conditions: Conditions) -> dict[str, Any]:
    about = {"release": [__version__, EVALUATION], "set": candidate.key}
    about |= {"network": network, "protocol": protocol.describe()}
    precision = {"precision": "bf16-mixed"} if conditions.mixed else {}
    return {**about, "test": [conditions.data, conditions.tested], "seed": conditions.seed, **precision}


class _Prepared:
    """The test images under a set's preprocessing; successive sets mostly share it."""

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions
        self._last: tuple[Preprocessing, TestSet] | None = None

    def for_set(self, distilled: DistilledDataset) -> TestSet:
        """Return preprocessed images and labels on the device."""
        if self._last is None or self._last[0] is not distilled.preprocessing:
            device = self.conditions.device
            images = prepared(self.conditions.test_images, distilled.preprocess).to(device)
            self._last = distilled.preprocessing, (images, self.conditions.test_labels.to(device))
        return self._last[1]
