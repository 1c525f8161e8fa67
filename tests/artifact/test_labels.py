"""Labels of every kind, as every protocol wants them."""

import pytest
import torch

from lightning_dd.artifact.labels import Labels

PROBABILITIES = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
FORMS = {
    "index": torch.tensor([0, 2]),
    "probabilities": PROBABILITIES,
    "logits": PROBABILITIES.log() + 3,
    "targets": PROBABILITIES - 1 / 3,
}


def _labels(kind, wanted):
    return Labels(FORMS[kind], kind).as_(wanted, 3, torch.float32)


@pytest.mark.parametrize("kind", FORMS)
def test_hard(kind):
    assert _labels(kind, "hard").tolist() == [0, 2]


@pytest.mark.parametrize("kind", FORMS)
def test_soft(kind):
    expected = FORMS["index"] if kind == "index" else PROBABILITIES
    torch.testing.assert_close(_labels(kind, "soft"), expected)


@pytest.mark.parametrize("kind", FORMS)
def test_targets(kind):
    one_hot = torch.tensor([[2 / 3, -1 / 3, -1 / 3], [-1 / 3, -1 / 3, 2 / 3]])
    torch.testing.assert_close(_labels(kind, "targets"), one_hot if kind == "index" else PROBABILITIES - 1 / 3)


def test_learned_targets_become_probabilities():
    # 1 / 2 is added, what is negative becomes 0, and rows are divided by their sums
    targets = torch.tensor([[0.9, -0.8], [1.0, 0.5]])
    soft = Labels(targets, "targets").as_("soft", 2, torch.float64)
    torch.testing.assert_close(soft, torch.tensor([[1.0, 0.0], [0.6, 0.4]], dtype=torch.float64))


@pytest.mark.parametrize("kind", FORMS)
def test_rows_and_classes(kind):
    labels = Labels(FORMS[kind], kind)
    assert len(labels) == 2
    assert labels.classes.tolist() == [0, 2]
    assert labels() is labels.values
    assert torch.equal(labels(torch.tensor([1, 0, 1])), FORMS[kind][[1, 0, 1]])


def test_learned_labels_are_a_parameter_and_others_go_with_the_checkpoint():
    learned, fixed = Labels(FORMS["logits"], "logits", learned=True), Labels(FORMS["index"])
    assert [list(dict(labels.named_parameters())) for labels in (learned, fixed)] == [["values"], []]
    assert list(fixed.state_dict()) == ["values"]
    learned(torch.tensor([1])).sum().backward()
    assert learned.values.grad.tolist() == [[0, 0, 0], [1, 1, 1]]
