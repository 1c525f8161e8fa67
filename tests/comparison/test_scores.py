"""DD-Ranking's scores: the published anchors, and what goes into them."""

import pytest
import torch

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.preprocessing import Normalization
from lightning_dd.comparison.dd_ranking import for_dd_ranking
from lightning_dd.comparison.grid import Cell
from lightning_dd.comparison.scores import Tables, augmentation_robust_score, label_robust_score
from lightning_dd.errors import UserError


def test_anchors_of_the_label_robust_score():
    assert label_robust_score(0.8, 0.6, 0.5, 0.3) == pytest.approx(26.9, abs=0.05)  # HLR = IOR
    assert label_robust_score(1.0, 0.0, 0.2, 0.2) == pytest.approx(10.2, abs=0.05)  # a = -0.5
    assert label_robust_score(0.8, 0.8, 0.5, 0.3) == pytest.approx(31.4, abs=0.05)  # a = 0.1
    assert label_robust_score(1.0, 0.0, 0.0, 1.0, weight=0.5) == pytest.approx(0)
    assert label_robust_score(0.0, 0.0, 1.0, 0.0, weight=1.0) == pytest.approx(100)


def test_the_augmentation_robust_score_is_symmetric_at_half():
    assert augmentation_robust_score(0.5, 0.5, 0.3, 0.3) == pytest.approx(26.9, abs=0.05)
    assert augmentation_robust_score(0.6, 0.5, 0.4, 0.3) == pytest.approx(31.4, abs=0.05)
    lead_with, lead_without = (0.7, 0.5, 0.3, 0.3), (0.5, 0.5, 0.5, 0.3)
    assert augmentation_robust_score(*lead_with) == pytest.approx(augmentation_robust_score(*lead_without))


@pytest.mark.parametrize("accuracy", [60.0, -0.1])
def test_percent_are_refused(accuracy):
    with pytest.raises(UserError, match="as fractions"):
        label_robust_score(0.8, accuracy, 0.5, 0.3)
    with pytest.raises(UserError, match="as fractions"):
        augmentation_robust_score(0.8, accuracy, 0.5, 0.3)


def _cells(**accuracies: float) -> list[Cell]:
    names = {"hard": ("A", "hard"), "soft": ("A", "soft"), "random": ("random real", "hard")}
    return [Cell(*names[name], 1, "ConvNet", [value]) for name, value in accuracies.items()]


def test_scores_of_a_table():
    found = Tables(_cells(hard=50, random=40), _cells(hard=50, random=40), _cells(hard=30, random=30))
    (row,) = found.scores({"A": "random real"}, real_accuracy=0.8)
    assert row["lrs"] == pytest.approx(label_robust_score(0.8, 0.3, 0.5, 0.4), abs=0.01)
    assert row["ars"] == pytest.approx(augmentation_robust_score(0.5, 0.4, 0.3, 0.3), abs=0.01)
    assert (row["set"], row["labels"], row["network"]) == ("A", "hard", "ConvNet")


def test_a_set_with_soft_labels_is_judged_by_its_own_recipe():
    own, plain = _cells(hard=40, soft=60, random=35), _cells(hard=30, soft=50, random=33)
    (row,) = Tables(own, own, plain).scores({"A": "random real"}, real_accuracy=0.8)
    assert row["labels"] == "soft"
    assert row["lrs"] == pytest.approx(label_robust_score(0.8, 0.3, 0.6, 0.35), abs=0.01)
    assert row["ars"] == pytest.approx(augmentation_robust_score(0.6, 0.35, 0.5, 0.33), abs=0.01)


def _distilled(**changes: object) -> DistilledDataset:
    images = torch.rand(10, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    arguments = {"labels": torch.arange(10), "class_names": tuple("abcdefghij")}
    arguments["preprocessing"] = Normalization([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010])
    return DistilledDataset(images, **{**arguments, **changes})


def test_the_form_that_dd_ranking_takes():
    hard = _distilled()
    assert set(for_dd_ranking(hard)) == {"image_tensor", "hard_labels"}
    torch.testing.assert_close(for_dd_ranking(hard)["image_tensor"], hard.prepared)
    with pytest.raises(UserError, match="hard labels only"):
        for_dd_ranking(hard, "soft")
    soft = _distilled(labels=torch.eye(10) * 4, label_kind="logits", recipe={"step_size": 0.02})
    arguments = for_dd_ranking(soft, "soft", Normalization([0.0] * 3, [1.0] * 3))
    assert torch.equal(arguments["image_tensor"], soft.images)
    torch.testing.assert_close(arguments["soft_labels"].sum(1), torch.ones(10))
    assert arguments["syn_lr"] == 0.02


def test_dd_ranking_reads_it(tmp_path, monkeypatch):
    hard_label = pytest.importorskip("ddranking.metrics.hard_label")
    images = torch.randn(40, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    tiny = [(image, index % 10) for index, image in enumerate(images)]
    same = {label: label for label in range(10)}
    facts = (3, (32, 32), [0.5] * 3, [0.2] * 3, 10, tiny, tiny, tiny, same, same)
    monkeypatch.setattr(hard_label, "get_dataset", lambda *arguments: facts)  # the real one downloads CIFAR-10
    monkeypatch.setitem(hard_label.REAL_DATA_ACC_CACHE, "CIFAR10-ConvNet-3", 84.8)
    monkeypatch.chdir(tmp_path)  # it writes its random images there
    found: dict = {}  # release 0.2.0 has each score twice, and cannot write that table
    monkeypatch.setattr(hard_label, "save_results", lambda results, path: found.update(results))
    short = {"ipc": 1, "num_eval": 1, "num_epochs": 10, "step_size": 5, "num_workers": 0}  # it tests every ten epochs
    score = hard_label.LabelRobustScoreHard(
        **short, data_aug_func="none", device="cpu", save_path=str(tmp_path / "scores.csv")
    )
    score.compute_metrics(**for_dd_ranking(_distilled(recipe={"step_size": 0.01})))
    (recovery,) = found["hard_label_recovery"]
    assert 0 <= 84.8 - recovery <= 100  # the accuracy, in percent, of the network that was trained on our images
