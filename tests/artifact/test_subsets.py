"""Parts of distilled sets, and several as one: what stays, what is converted, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import lightning_dd as dd
from lightning_dd.artifact.codecs import Tiles
from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.preprocessing import Normalization
from lightning_dd.errors import UserError

NORMALIZATION = Normalization([0.5], [0.25])


def _distilled(names=("cat", "dog"), counts=(2, 2), seed=0, **changes) -> DistilledDataset:
    labels = torch.arange(len(names)).repeat_interleave(torch.tensor(counts))
    images = torch.rand(len(labels), 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    parts = {"images": images, "labels": labels, "class_names": names, "preprocessing": NORMALIZATION}
    return DistilledDataset(**{**parts, **changes})


def test_numbers_may_differ_by_class_in_file_picture_and_training(tmp_path):
    uneven = _distilled(("cat", "dog", "owl"), (1, 4, 3))
    uneven.save(tmp_path / "distilled.safetensors")
    again = dd.load(tmp_path)
    assert (again.counts.tolist(), again.images_per_class, again.ipc) == ([1, 4, 3], 4, 4)
    assert not again.balanced
    assert "1 to 4 of each class" in again._repr_html_()
    network = again.train("MLP:width=4", protocol="common", epochs=1)
    assert 0 <= again.evaluate((again.images, again.labels), network) <= 100


def test_a_subset_takes_the_first_images_of_each_class():
    recipe, tensors = {"protocol": "dd", "inner": {"optimizer": "sgd"}}, {"order": torch.zeros(3).long()}
    whole = _distilled(counts=(1, 3), recipe=recipe, tensors=tensors)
    part = whole.subset(2)
    assert torch.equal(part.images, whole.images[[0, 1, 2]])
    assert (part.labels.tolist(), part.recipe, part.tensors) == ([0, 1, 1], {"protocol": "dd"}, {})
    with pytest.raises(UserError, match="ipc must be at least 1, got 0"):
        whole.subset(0)
    with pytest.raises(UserError, match="ipc must be a whole number, got 'a'"):
        whole.subset("a")


def test_parts_that_are_merged_are_the_whole():
    whole = _distilled(("cat", "dog", "owl"), (2, 3, 1), info={"method": "DM", "evaluations": [], "seed": 3})
    again = dd.merge([whole.select(["owl"]), whole.select(np.arange(2))])
    assert torch.equal(again.images, whole.images)
    assert torch.equal(again.labels, whole.labels)
    assert again.class_names == whole.class_names
    assert again.info == {"method": "DM"}


def test_no_classes_are_refused():
    with pytest.raises(UserError, match="no classes to select"):
        _distilled().select([])


def test_one_class_needs_no_list():
    names = tuple(map(str, range(11)))
    whole = _distilled(names, [1] * 11)
    for given in ("10", 10, np.int64(10), torch.tensor(10)):
        assert whole.select(given).info["selected"] == ["10"]


def test_a_teacher_that_all_sets_bring_stays():
    recipe, teacher = {"protocol": "kd", "teacher": {"network": {"class_path": "a"}}}, {"teacher.weight": torch.ones(2)}
    whole = _distilled(recipe=recipe, tensors=teacher)
    again = dd.merge([whole.select("cat"), whole.select("dog")])
    assert again.recipe == recipe
    assert torch.equal(again.teacher["teacher.weight"], torch.ones(2))
    for changes in ({"tensors": {"teacher.weight": torch.zeros(2)}}, {"class_names": ("dog", "cat")}):
        merged = dd.merge([whole, replace(whole, **changes)])
        assert (merged.teacher, "teacher" in merged.recipe) == ({}, False)


@pytest.mark.parametrize("given", [_distilled(), ["a.safetensors"], [], None])
def test_only_sets_are_merged(given):
    with pytest.raises(UserError, match="merge takes a list of distilled sets"):
        dd.merge(given)


def test_merging_joins_classes_by_name_and_decodes_codecs():
    codec = Tiles(2, 1, (1, 4, 4))
    codec.start_noise(torch.Generator().manual_seed(1))
    coded = _distilled(("dog", "owl"), (4, 4), images=None, codec=codec)
    plain = _distilled(recipe={"protocol": "dm", "augmentation": "dsa"})
    merged = dd.merge([plain, coded])
    assert "selected" not in merged.info  # it is no part
    assert merged.class_names == ("cat", "dog", "owl")
    assert (merged.counts.tolist(), merged.codec, merged.recipe) == ([2, 6, 4], None, {})
    assert torch.equal(merged.images, torch.cat([plain.images, coded.images]))


def test_soft_labels_stay_or_become_probabilities():
    logits = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    soft = _distilled(labels=logits, label_kind="logits")
    same = dd.merge([soft, soft])
    assert same.label_kind == "logits"
    assert torch.equal(same.labels, logits.repeat(2, 1)[[0, 1, 4, 5, 2, 3, 6, 7]])
    mixed = dd.merge([_distilled(("owl", "dog")), soft])
    assert mixed.label_kind == "probabilities"
    assert mixed.class_names == ("owl", "dog", "cat")
    torch.testing.assert_close(mixed.labels.sum(1), torch.ones(8))
    assert mixed.hard_labels.tolist() == [0, 0, 1, 1, 1, 1, 2, 2]
    torch.testing.assert_close(
        mixed.labels[4], logits[2].softmax(0)[[1, 0]].new_tensor([0, *logits[2].softmax(0)[[1, 0]]])
    )


def test_what_does_not_go_together_is_refused():
    targets = _distilled(labels=torch.full((4, 2), 0.5), label_kind="targets")
    large = _distilled(images=torch.rand(4, 1, 8, 8))
    for sets, said in (
        ([_distilled(), large], "do not make one set"),
        ([_distilled(), _distilled(preprocessing=Normalization([0.0], [1.0]))], "different normalizations"),
        ([_distilled(), targets], "Targets of a regression"),
    ):
        with pytest.raises(UserError, match=said):
            dd.merge(sets)


def test_a_set_of_some_classes_comes_back(tmp_path):
    """As a memory of tasks holds one, with the names of all."""
    some = _distilled(("cat", "dog", "owl"), (0, 2, 2))
    some.save(tmp_path / "distilled.safetensors")
    assert dd.load(tmp_path).counts.tolist() == [0, 2, 2]


def test_a_class_without_images_cannot_be_selected():
    with pytest.raises(UserError, match="None of the images is of dog"):
        _distilled(counts=(2, 0)).select(["dog"])


def test_sets_can_be_found_in_lists_and_be_keys():
    one, other = _distilled(), _distilled()
    assert one in [other, one]
    assert len({one, other}) == 2
