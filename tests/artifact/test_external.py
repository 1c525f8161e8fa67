"""Files of other programs: what DC, MTT and DATM write, and what is refused."""

import pickle

import numpy as np
import pytest
import torch

from lightning_dd.artifact.external import read_foreign
from lightning_dd.artifact.preprocessing import Normalization
from lightning_dd.errors import UserError

NAMES = ("cat", "dog")
NORMALIZATION = Normalization([0.4, 0.5, 0.6], [0.2, 0.25, 0.3])


def _images(seed: int = 0) -> torch.Tensor:
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


LABELS = torch.tensor([0, 0, 1, 1])


def test_dc_writes_several_sets_and_accuracies_as_numbers_of_numpy(tmp_path):
    accuracies = {"ConvNet": [np.float64(0.51), np.float64(0.53)]}
    pairs = [[_images(0), LABELS], [_images(1), LABELS]]
    torch.save({"data": pairs, "accs_all_exps": accuracies}, tmp_path / "res_DC_CIFAR10_ConvNet_1ipc.pt")
    sets = read_foreign(tmp_path / "res_DC_CIFAR10_ConvNet_1ipc.pt")
    assert len(sets) == 2
    for found, (images, labels) in zip(sets, pairs, strict=True):
        assert torch.equal(found.images, images)
        assert torch.equal(found.labels, labels)
        assert (found.label_kind, found.step_size) == ("index", None)


def test_mtt_writes_two_files(tmp_path):
    torch.save(_images(), tmp_path / "images_5000.pt")
    torch.save(LABELS, tmp_path / "labels_5000.pt")
    (found,) = read_foreign(tmp_path / "images_5000.pt")
    assert torch.equal(found.images, _images())
    assert torch.equal(found.labels, LABELS)
    assert found.step_size is None


def test_datm_writes_logits_and_a_step_size_into_a_folder(tmp_path):
    logits = torch.tensor([[3.0, -1.0], [2.0, 1.0], [-2.0, 0.5], [0.0, 4.0]])
    torch.save(_images().requires_grad_(), tmp_path / "images_best.pt")
    torch.save(logits.requires_grad_(), tmp_path / "labels_best.pt")
    torch.save(torch.tensor(0.0123), tmp_path / "lr_best.pt")
    (found,) = read_foreign(tmp_path)
    assert found.label_kind == "logits"
    assert found.step_size == pytest.approx(0.0123)
    distilled = found.distilled(NAMES, NORMALIZATION)
    assert not distilled.images.requires_grad
    assert distilled.recipe == {"step_size": found.step_size}
    torch.testing.assert_close(distilled.prepared, _images())
    assert torch.equal(distilled.hard_labels, LABELS)


@pytest.mark.parametrize("pair", [[_images(), LABELS], (_images(), LABELS), {"images": _images(), "labels": LABELS}])
def test_a_plain_pair(pair, tmp_path):
    torch.save(pair, tmp_path / "set.pt")
    (found,) = read_foreign(tmp_path / "set.pt")
    assert torch.equal(found.images, _images())


def test_rows_that_sum_to_one_are_probabilities(tmp_path):
    torch.save([_images(), torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.0, 1.0]])], tmp_path / "set.pt")
    assert read_foreign(tmp_path / "set.pt")[0].label_kind == "probabilities"


class _Trap:
    """Unpickling would run this."""

    def __reduce__(self):
        return (open, ("/tmp/never", "w"))


def test_nothing_is_executed(tmp_path, monkeypatch):
    torch.save({"data": [[_images(), LABELS]], "generator": _Trap()}, tmp_path / "set.pt")
    with pytest.raises(UserError, match="cannot be read as tensors alone"):
        read_foreign(tmp_path / "set.pt")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"data": []}, "no pairs"),
        ({"state_dict": {}}, "no pairs"),
        ([1, 2], "no pairs"),
        ([_images(), LABELS[:3]], r"\(4, 3, 8, 8\) and labels of shape \(3,\)"),
        ([_images()[0], LABELS], "wanted are"),
        (_images(), "images without labels"),
    ],
)
def test_what_is_no_set_is_refused(content, words, tmp_path):
    torch.save(content, tmp_path / "set.pt")
    with pytest.raises(UserError, match=words):
        read_foreign(tmp_path / "set.pt")


def test_damage_and_absence_are_said(tmp_path):
    (tmp_path / "set.pt").write_bytes(pickle.dumps("no set")[:5])
    with pytest.raises(UserError, match="cannot be read as tensors alone"):
        read_foreign(tmp_path / "set.pt")
    with pytest.raises(UserError, match="There is no file"):
        read_foreign(tmp_path / "other.pt")


def test_classes_have_to_agree(tmp_path):
    torch.save([_images(), torch.tensor([0, 1, 2, 5])], tmp_path / "set.pt")
    with pytest.raises(UserError, match="6 classes, but the data have 2"):
        read_foreign(tmp_path / "set.pt")[0].distilled(NAMES, NORMALIZATION)
