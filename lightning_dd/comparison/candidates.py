"""The rows of a table: distilled sets, and the real images that they are compared with."""

import functools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.files import tensor_digest
from lightning_dd.artifact.labels import Regime
from lightning_dd.artifact.preprocessing import as_unit_floats
from lightning_dd.coresets import Selection, random_real, select
from lightning_dd.data import ImageData
from lightning_dd.evaluation.baseline import shared_recipe
from lightning_dd.evaluation.kd import teacher_of
from lightning_dd.evaluation.protocol import Protocol
from lightning_dd.rng import generator
from lightning_dd.training.data import content_digest
from lightning_dd.training.features import TrainedFeatures

AT_ONCE = 256  # images that a teacher labels

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
    """Return the rows of a distilled set, or of several of one experiment: networks cycle through those of one number.

    Their shapes and kinds of label agree. Soft ones have two rows where the protocol wants hard labels: both are fair.
    """
    soft = sets[0].label_kind != "index"
    regimes: list[Regime] = [wanted]
    if wanted in ("hard", "soft"):
        regimes = ["hard", "soft"] if wanted == "hard" and soft else ["soft" if soft else "hard"]
    by_number = {each.ipc: [other for other in sets if other.ipc == each.ipc] for each in sets}
    return [_row_of(name, alike, regime) for alike in by_number.values() for regime in regimes]


def _row_of(name: str, sets: list[DistilledDataset], regime: Regime) -> Candidate:
    key = {"sets": [fingerprint(each) for each in sets]}
    return Candidate(name, sets[0].ipc, regime, key, lambda index: sets[index % len(sets)])


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
            rows = select(rule, data.train_labels, *classes, draw, trained, data.class_names, repeat=True)
            return self._set(self._as_many(rows))

        key = {**self._key(rule), "network": about}
        return self._row(f"coreset {rule}", _hard(wanted), key, lambda index: chosen())

    def soft_random(self, trained: Trained, about: dict[str, Any]) -> Candidate:
        """Return the same random images, labeled with a network's class probabilities; see `relabeled`.

        No image is learned, and yet this beats several published methods (arXiv 2406.10485).
        """
        return relabeled(self.random("hard"), trained, about)

    def _row(
        self, name: str, labels: Regime, key: dict[str, Any], make: Callable[[int], DistilledDataset]
    ) -> Candidate:
        return Candidate(name + self.suffix, self.like.ipc, labels, key, make)

    def _draw(self, index: int) -> Tensor:
        data, draw = self.data, generator(self.seed, "evaluation/random_real", index)
        every = data.train_labels, data.num_classes, self.like.ipc, draw, data.class_names
        return self._as_many(random_real(*every, repeat=True))

    def _as_many(self, rows: Tensor) -> Tensor:
        """Return of each class's `ipc` rows, class-major, the first: as many as the set has of the class."""
        numbers = _numbers(self.like)
        if numbers is None:
            return rows
        turn = torch.arange(self.like.ipc).repeat(len(numbers))
        return rows[turn < torch.tensor(numbers).repeat_interleave(self.like.ipc)]

    def _set(self, rows: Tensor) -> DistilledDataset:
        images, labels = as_unit_floats(self.data.train_images[rows]), self.data.train_labels[rows]
        names, preprocessing, recipe = self.like.class_names, self.like.preprocessing, shared_recipe(self.like.recipe)
        recipe |= {"whole": True} if "factor" in recipe else {}
        return DistilledDataset(images, labels, names, preprocessing, recipe=recipe, tensors=self.like.teacher)

    def _key(self, kind: str) -> dict[str, Any]:
        about = [self.data.name, content_digest(self.data.train_images, self.data.train_labels)]
        about += [self.like.ipc, self.seed]
        numbers = _numbers(self.like)
        more = {} if numbers is None else {"numbers": numbers}
        return {"real": kind, "of": about, "prepared": _preparation(self.like), **more}


def relabeled(candidate: Candidate, trained: Trained, about: dict[str, Any]) -> Candidate:
    """Return the same images with one distribution over classes for each, which a network gives them.

    It is the teacher that a set brings, or else a trained one, whose training `about` describes in plain values.
    """

    def make(index: int) -> DistilledDataset:
        each = candidate.make(index)
        return replace(each, labels=_soft_labels(each, trained), label_kind="probabilities", learned_labels=None)

    named = f"{candidate.name}, a network's labels"
    return replace(candidate, name=named, labels="soft", key={**candidate.key, "network": about}, make=make)


@torch.no_grad()
def _soft_labels(distilled: DistilledDataset, trained: Trained) -> Tensor:
    teacher = teacher_of(distilled)
    if teacher is None:
        return trained().probabilities(distilled.images).cpu()
    return torch.cat([teacher(part).softmax(1) for part in distilled.prepared.split(AT_ONCE)])


def groups(
    sets: Iterable[tuple[str, DistilledDataset]], protocol: Protocol, by_teacher: bool = False
) -> list[dict[str, DistilledDataset]]:
    """Return named sets in groups of one number of images, preprocessing and training, which share a baseline.

    A recipe matters as far as the protocol heeds it, and the teacher where baselines take labels from it.
    """
    found: dict[str, dict[str, DistilledDataset]] = {}
    for name, each in sets:
        heeded = [protocol.bind(each.recipe).describe()]
        heeded += [each.recipe.get("augmentation")] if protocol.heeds_operations else []
        heeded += [each.recipe.get("teacher", {}).get("digest")] if by_teacher else []
        group = json.dumps([each.ipc, _numbers(each), each.preprocessing.describe(), heeded], sort_keys=True)
        found.setdefault(group, {})[name] = each
    return list(found.values())


def _numbers(distilled: DistilledDataset) -> list[int] | None:
    """Return the images of each class where these numbers differ; soft labels tell them only of a part of a set."""
    if distilled.label_kind != "index" and len(distilled) == distilled.images_per_class * distilled.num_classes:
        return None
    numbers = distilled.hard_labels.bincount(minlength=distilled.num_classes).tolist()
    return numbers if len(set(numbers)) > 1 else None


def _hard(wanted: Regime) -> Regime:
    return "hard" if wanted == "soft" else wanted


def fingerprint(distilled: DistilledDataset) -> dict[str, Any]:
    """Return plain values that differ where networks trained on a set could differ."""
    content = tensor_digest({"images": distilled.images, "labels": distilled.labels, **distilled.tensors})
    return {"content": content, "labels": distilled.label_kind, "prepared": _preparation(distilled)}


def _preparation(distilled: DistilledDataset) -> list[Any]:
    return [distilled.preprocessing.describe(), shared_recipe(distilled.recipe)]
