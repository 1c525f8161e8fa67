"""The rows of a table: distilled sets, and the real images that they are compared with."""

import functools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.files import tensor_digest
from lightning_dd.artifact.preprocessing import as_unit_floats
from lightning_dd.coresets import Selection, random_real, select
from lightning_dd.data import ImageData
from lightning_dd.evaluation.protocol import Protocol
from lightning_dd.rng import generator
from lightning_dd.training.features import TrainedFeatures

Regime = Literal["hard", "soft", "targets"]
"""Labels in training: class indices, one distribution over classes for each image, or regression targets."""

Trained = Callable[[], TrainedFeatures]
"""Returns features and probabilities of a network trained on the whole training set; called on demand."""


@dataclass(frozen=True)
class Candidate:
    """A set, or a set for each network, that networks are trained on.

    Attributes:
        name: for people.
        ipc: images per class.
        labels: the label regime, in place of the protocol's.
        key: everything that the images and labels depend on, in plain values.
        make: called with a network's index.
    """

    name: str
    ipc: int
    labels: Regime
    key: dict[str, Any]
    make: Callable[[int], DistilledDataset]

    def under(self, protocol: Protocol) -> Protocol:
        """Return the protocol with the candidate's own label regime."""
        return replace(protocol, labels=self.labels)


def from_sets(name: str, sets: list[DistilledDataset], wanted: Regime) -> list[Candidate]:
    """Return the rows of a distilled set, or of several of one experiment: networks cycle through them.

    Their shapes and kinds of label agree. Soft ones have two rows where the protocol wants hard labels: both are fair.
    """
    first = sets[0]
    soft = first.label_kind != "index"
    regimes: list[Regime] = [wanted]
    if wanted != "targets":
        regimes = ["hard", "soft"] if wanted == "hard" and soft else ["soft" if soft else "hard"]
    key = {"sets": [fingerprint(each) for each in sets]}
    return [Candidate(name, first.ipc, regime, key, lambda index: sets[index % len(sets)]) for regime in regimes]


@dataclass(frozen=True)
class RealImages:
    """Real images (`data`, after `setup`) with the number, preprocessing and recipe of a distilled set (`like`)."""

    data: ImageData
    like: DistilledDataset
    seed: int = 0
    suffix: str = ""

    def random(self, wanted: Regime) -> Candidate:
        """Return fresh random images for each network; the draws are those of `lightning_dd test`."""
        return self._row("random real", _hard(wanted), self._key("random"), lambda index: self._set(self._draw(index)))

    def coreset(self, rule: Selection, trained: Trained, about: dict[str, Any], wanted: Regime) -> Candidate:
        """Return the images that a rule selects, as `Coreset` with the same seed does.

        `trained` gives the feature network, whose training `about` describes in plain values.
        """

        @functools.cache
        def chosen() -> DistilledDataset:
            data, draw = self.data, generator(self.seed, "init")
            classes = data.num_classes, self.like.ipc
            return self._set(select(rule, data.train_labels, *classes, draw, trained, data.class_names, repeat=True))

        key = {**self._key(rule), "network": about}
        return self._row(f"coreset {rule}", _hard(wanted), key, lambda index: chosen())

    def soft_random(self, trained: Trained, about: dict[str, Any]) -> Candidate:
        """Return the same random images, labelled with a trained network's class probabilities.

        No image is learned, and yet this beats several published methods (arXiv 2406.10485). `about` describes the
        network's training in plain values.
        """

        def make(index: int) -> DistilledDataset:
            rows = self._draw(index)
            return replace(self._set(rows), labels=trained().probabilities(rows).cpu(), label_kind="probabilities")

        key = {**self._key("soft random"), "network": about}
        return self._row("random real, soft labels", "soft", key, make)

    def _row(
        self, name: str, labels: Regime, key: dict[str, Any], make: Callable[[int], DistilledDataset]
    ) -> Candidate:
        return Candidate(name + self.suffix, self.like.ipc, labels, key, make)

    def _draw(self, index: int) -> Tensor:
        data, draw = self.data, generator(self.seed, "evaluation/random_real", index)
        return random_real(data.train_labels, data.num_classes, self.like.ipc, draw, data.class_names, repeat=True)

    def _set(self, rows: Tensor) -> DistilledDataset:
        images, labels = as_unit_floats(self.data.train_images[rows]), self.data.train_labels[rows]
        names, preprocessing = self.like.class_names, self.like.preprocessing
        return DistilledDataset(images, labels, names, preprocessing, recipe=_shared(self.like.recipe))

    def _key(self, kind: str) -> dict[str, Any]:
        about = [self.data.name, len(self.data.train_labels), self.like.ipc, self.seed]
        return {"real": kind, "of": about, "prepared": _preparation(self.like)}


def groups(sets: Iterable[tuple[str, DistilledDataset]], protocol: Protocol) -> list[dict[str, DistilledDataset]]:
    """Return named sets in groups of one number of images, preprocessing and training, which share a baseline.

    A recipe matters as far as the protocol heeds it.
    """
    found: dict[str, dict[str, DistilledDataset]] = {}
    for name, each in sets:
        heeded = [protocol.bind(each.recipe).describe()]
        heeded += [each.recipe.get("augmentation")] if (protocol.augmentation or "").startswith("dsa") else []
        group = json.dumps([each.ipc, each.preprocessing.describe(), heeded], sort_keys=True)
        found.setdefault(group, {})[name] = each
    return list(found.values())


def _hard(wanted: Regime) -> Regime:
    return "targets" if wanted == "targets" else "hard"


def fingerprint(distilled: DistilledDataset) -> dict[str, Any]:
    """Return plain values that differ where networks trained on a set could differ."""
    content = tensor_digest({"images": distilled.images, "labels": distilled.labels, **distilled.tensors})
    return {"content": content, "labels": distilled.label_kind, "prepared": _preparation(distilled)}


def _preparation(distilled: DistilledDataset) -> list[Any]:
    return [distilled.preprocessing.describe(), _shared(distilled.recipe)]


def _shared(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe without its protocol and network, which the table decides."""
    return {name: value for name, value in recipe.items() if name not in ("protocol", "network")}
