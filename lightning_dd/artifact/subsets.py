"""Parts of distilled sets, and several sets as one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_dd.artifact.labels import Labels
from lightning_dd.errors import UserError, check_number

if TYPE_CHECKING:
    from lightning_dd.artifact.dataset import DistilledDataset

SHARED_INFO = ("method", "paper", "derived_from", "dataset")


class Subsets:
    """Parts of a set, as methods of `DistilledDataset`.

    Class names and indices stay those of the whole set. What goes with all images together is left out: a codec, and
    learned steps of training. `info["selected"]` names the classes of a part; an accuracy in its record is that of the
    whole set.
    """

    @property
    def counts(self: "DistilledDataset") -> Tensor:
        """Images of each class, `(num_classes,)`; numbers may differ, and be zero in a part of a set."""
        return self.hard_labels.bincount(minlength=self.num_classes)

    @property
    def balanced(self: "DistilledDataset") -> bool:
        """Whether the classes have as many images each; true for soft labels, whose arg-max may leave the class."""
        return self.label_kind != "index" or len(set(self._present)) <= 1

    @property
    def _present(self: "DistilledDataset") -> list[int]:
        """Images of each class that has any, by class index."""
        return self.hard_labels.unique(return_counts=True)[1].tolist()

    def select(self: "DistilledDataset", classes: int | str | Sequence[int | str]) -> "DistilledDataset":
        """Return the images of a class or of some, by index or name.

        Raises:
            UserError: there is no such class, or none is given, or none has images.
        """
        one = isinstance(classes, str) or not hasattr(classes, "__len__") or getattr(classes, "ndim", 1) == 0
        classes = [classes] if one else classes
        if not len(classes):
            raise UserError("There are no classes to select.")
        rows = torch.isin(self.hard_labels, torch.tensor([_index(self, each) for each in classes]))
        if not rows.any():
            raise UserError(f"None of the images is of {', '.join(map(str, classes))}.")
        return _part(self, rows)

    def subset(self: "DistilledDataset", ipc: int) -> "DistilledDataset":
        """Return the first `ipc` images of each class; a class that has fewer keeps them all.

        Raises:
            UserError: `ipc` is below 1.
        """
        check_number("ipc", ipc)
        labels = self.hard_labels
        rows = torch.cat([(labels == index).nonzero()[:ipc, 0] for index in range(self.num_classes)])
        return _part(self, rows.sort().values)


def merge(sets: Sequence["DistilledDataset"]) -> "DistilledDataset":
    """Return the images of several sets as one, class by class; numbers of images and classes may differ.

    Classes of one name are one class. What a codec stores becomes images. Soft labels stay as they are where all sets
    have the same classes and one kind of label; else they become probabilities. Of the recipes and records, what all
    sets agree on remains, without accuracies; a teacher does where all bring the same over the same classes.

    Raises:
        UserError: there are no sets, or their images, normalizations or labels do not go together.
    """
    if not isinstance(sets, list | tuple) or not sets or not all(isinstance(each, Subsets) for each in sets):
        raise UserError("merge takes a list of distilled sets, as lightning_dd.load gives them, at least one.")
    first = sets[0]
    for other in sets[1:]:
        if other.image_shape != first.image_shape:
            raise UserError(f"Images of {first.image_shape} and of {other.image_shape} do not make one set.")
        if other.preprocessing.describe() != first.preprocessing.describe():
            raise UserError("The sets were made under different normalizations, so no network can be trained on both.")
    names = tuple(dict.fromkeys(name for each in sets for name in each.class_names))
    kind, teacher = _common_kind(sets, names), _common_teacher(sets, names)
    left_out = {"inner"} if teacher else {"inner", "teacher"}
    labels = torch.cat([_labels_among(each, kind, names) for each in sets])
    classes = Labels(labels, kind).classes
    order, present = classes.argsort(stable=True), classes.unique().tolist()
    return replace(
        first,
        images=torch.cat([each.images for each in sets])[order],
        labels=labels[order],
        class_names=names,
        label_kind=kind,
        recipe={key: value for key, value in _shared([each.recipe for each in sets]).items() if key not in left_out},
        tensors=teacher,
        info={
            **{key: value for key, value in _shared([each.info for each in sets]).items() if key in SHARED_INFO},
            **({"selected": [names[index] for index in present]} if len(present) < len(names) else {}),
        },
        codec=None,
        learned_labels=None,
        folder=None,
    )


def _part(distilled: "DistilledDataset", rows: Tensor) -> "DistilledDataset":
    present = distilled.hard_labels[rows].unique().tolist()
    recipe = {name: value for name, value in distilled.recipe.items() if name != "inner"}
    info = {**distilled.info, "selected": [distilled.class_names[index] for index in present]}
    parts = {"images": distilled.images[rows], "labels": distilled.labels[rows], "codec": None}
    return replace(distilled, **parts, tensors=distilled.teacher, recipe=recipe, info=info)


def _index(distilled: "DistilledDataset", given: int | str) -> int:
    if isinstance(given, str) and given in distilled.class_names:
        return distilled.class_names.index(given)
    if hasattr(given, "__index__") and 0 <= int(given) < distilled.num_classes:  # NumPy's numbers too
        return int(given)
    raise UserError(f"There is no class {given!r}; there are {', '.join(distilled.class_names)}.")


def _common_kind(sets: Sequence["DistilledDataset"], names: tuple[str, ...]) -> str:
    kinds = {each.label_kind for each in sets}
    same_classes = all(set(each.class_names) == set(names) for each in sets)
    if kinds == {"index"} or (len(kinds) == 1 and same_classes):
        return kinds.pop()
    if "targets" in kinds:
        raise UserError("Targets of a regression go only with targets over the same classes.")
    return "probabilities"


def _common_teacher(sets: Sequence["DistilledDataset"], names: tuple[str, ...]) -> dict[str, Tensor]:
    """Return the weights of the teacher that all sets bring; none where they differ."""
    first, *others = (each.teacher for each in sets)
    alike = all(each.class_names == names for each in sets) and all(
        other.keys() == first.keys() and all(torch.equal(other[name], first[name]) for name in first)
        for other in others
    )
    return first if alike else {}


def _labels_among(distilled: "DistilledDataset", kind: str, names: tuple[str, ...]) -> Tensor:
    """Return a set's labels as those of one kind, over more classes."""
    columns = torch.tensor([names.index(name) for name in distilled.class_names])
    if kind == "index":
        return columns[distilled.labels]
    values = distilled.labels
    if distilled.label_kind == "index":
        values = F.one_hot(values, distilled.num_classes).float()
    elif distilled.label_kind != kind:
        values = values.softmax(1)
    return values.new_zeros(len(values), len(names)).index_copy(1, columns, values)


def _shared(tables: Sequence[dict]) -> dict:
    """Return the entries that all tables agree on."""
    first, *others = tables
    return {key: value for key, value in first.items() if all(key in each and each[key] == value for each in others)}
