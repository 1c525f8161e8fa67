"""DD-Ranking's scores: the published anchors, and what goes into them."""

import pytest

from lightning_dd.comparison.grid import Cell
from lightning_dd.comparison.scores import augmentation_robust_score, label_robust_score, scores
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
    tables = _cells(hard=50, random=40), _cells(hard=50, random=40), _cells(hard=30, random=30)
    (row,) = scores(*tables, {("A", 1): "random real"}, real_accuracy=0.8)
    assert row["lrs"] == pytest.approx(label_robust_score(0.8, 0.3, 0.5, 0.4), abs=0.01)
    assert row["ars"] == pytest.approx(augmentation_robust_score(0.5, 0.4, 0.3, 0.3), abs=0.01)
    assert (row["set"], row["labels"], row["network"]) == ("A", "hard", "ConvNet")


def test_a_set_with_soft_labels_is_judged_by_its_own_recipe():
    own, plain = _cells(hard=40, soft=60, random=35), _cells(hard=30, soft=50, random=33)
    (row,) = scores(own, own, plain, {("A", 1): "random real"}, real_accuracy=0.8)
    assert row["labels"] == "soft"
    assert row["lrs"] == pytest.approx(label_robust_score(0.8, 0.3, 0.6, 0.35), abs=0.01)
    assert row["ars"] == pytest.approx(augmentation_robust_score(0.6, 0.35, 0.5, 0.33), abs=0.01)


def test_random_images_of_another_number_are_no_rivals():
    def cells(first, random_one, second, random_ten):
        rows = ("A", 1, first), ("random real", 1, random_one), ("B", 10, second), ("random real", 10, random_ten)
        return [Cell(name, "hard", ipc, "ConvNet", [value]) for name, ipc, value in rows]

    tables = (cells(*values) for values in ((60, 40, 80, 70), (60, 40, 80, 70), (50, 30, 70, 60)))
    rows = scores(*tables, {("A", 1): "random real", ("B", 10): "random real"}, real_accuracy=0.9)
    assert [row["set"] for row in rows] == ["A", "B"]
    assert rows[0]["lrs"] == pytest.approx(label_robust_score(0.9, 0.5, 0.6, 0.4), abs=0.01)
    assert rows[1]["ars"] == pytest.approx(augmentation_robust_score(0.8, 0.7, 0.7, 0.6), abs=0.01)


def test_sets_of_one_name_have_the_random_images_of_their_own_number():
    rows = ("A", 1, 60), ("random real", 1, 40), ("A", 2, 70), ("random real (as for A)", 2, 50)
    cells = [Cell(name, "hard", ipc, "ConvNet", [value]) for name, ipc, value in rows]
    beside = {("A", 1): "random real", ("A", 2): "random real (as for A)"}
    assert len(scores(cells, cells, cells, beside, 0.9)) == 2
