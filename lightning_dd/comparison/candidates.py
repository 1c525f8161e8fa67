"""What stands in a row of a table: distilled sets, and the real images that they are compared with."""

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
"""What a network is trained on: class indices, one distribution over classes for each image, or regression targets."""

Trained = Callable[[], TrainedFeatures]
"""Called for a network trained on the whole training set, by those that need one."""


@dataclass(frozen=True)
class Candidate:
    """A set, or a set for each network, that networks are trained on.

    Attributes:
        name: for people.
        ipc: images per class.
        labels: the label regime; it takes the place of the protocol's.
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
    """Return the rows of a distilled set, or of several that one experiment gave: networks take them in turns.

    A set with soft labels has two rows under a protocol of hard labels, for both are fair questions.

    Args:
        name: for people.
        sets: of one shape and one kind of label.
        wanted: labels of the protocol.
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
    """Real images in the form of a distilled set: of its number, preprocessing and recipe.

    Attributes:
        data: the real images, set up.
        like: the distilled set.
        seed: of the draws.
        suffix: of the names.
    """

    data: ImageData
    like: DistilledDataset
    seed: int = 0
    suffix: str = ""

    def random(self, wanted: Regime) -> Candidate:
        """Return fresh random images for each network; the draws are those of `lightning_dd test`."""
        regime: Regime = "targets" if wanted == "targets" else "hard"
        return self._row("random real", regime, self._key("random"), lambda index: self._set(self._draw(index)))

    def coreset(self, rule: Selection, trained: Trained, about: dict[str, Any], wanted: Regime) -> Candidate:
        """Return the images that a rule chooses, as `--model Coreset` with the same seed does.

        Args:
            rule: of the coreset.
            trained: gives the feature network.
            about: how that was trained, in plain values.
            wanted: labels of the protocol.
        """
        chosen: list[DistilledDataset] = []  # made when it is asked for, and once

        def make(index: int) -> DistilledDataset:
            if not chosen:
                data, draw = self.data, generator(self.seed, "init")
                classes = data.num_classes, self.like.ipc
                rows = select(rule, data.train_labels, *classes, draw, trained, data.class_names, repeat=True)
                chosen.append(self._set(rows))
            return chosen[0]

        regime: Regime = "targets" if wanted == "targets" else "hard"
        return self._row(f"coreset {rule}", regime, {**self._key(rule), "network": about}, make)

    def soft_random(self, trained: Trained, about: dict[str, Any]) -> Candidate:
        """Return the same random images with the class probabilities that a trained network gives them as labels.

        No image is learned here, and yet this beats several published methods (arXiv 2406.10485).

        Args:
            trained: gives the network.
            about: how that was trained, in plain values.
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
    """Return named sets in groups of one number of images and one way to prepare and train.

    Each group has real images of its own to stand beside it.

    Args:
        sets: with their names.
        protocol: a recipe matters as far as the protocol heeds it.
    """
    found: dict[str, dict[str, DistilledDataset]] = {}
    for name, each in sets:
        heeded = [protocol.bind(each.recipe).describe()]
        heeded += [each.recipe.get("augmentation")] if (protocol.augmentation or "").startswith("dsa") else []
        group = json.dumps([each.ipc, each.preprocessing.describe(), heeded], sort_keys=True)
        found.setdefault(group, {})[name] = each
    return list(found.values())


def fingerprint(distilled: DistilledDataset) -> dict[str, Any]:
    """Return plain values that differ where networks trained on a set could differ."""
    content = tensor_digest({"images": distilled.images, "labels": distilled.labels, **distilled.tensors})
    return {"content": content, "labels": distilled.label_kind, "prepared": _preparation(distilled)}


def _preparation(distilled: DistilledDataset) -> list[Any]:
    return [distilled.preprocessing.describe(), _shared(distilled.recipe)]


def _shared(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return what a recipe says besides the protocol, which the table decides."""
    return {name: value for name, value in recipe.items() if name != "protocol"}
