"""Labels of every kind, as every protocol wants them."""

import pytest
import torch

from lightning_dd.artifact.labels import training_labels

PROBABILITIES = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
FORMS = {
    "index": torch.tensor([0, 2]),
    "probabilities": PROBABILITIES,
    "logits": PROBABILITIES.log() + 3,
    "targets": PROBABILITIES - 1 / 3,
}


def _labels(kind, wanted):
    return training_labels(FORMS[kind], kind, wanted, 3, torch.float32)


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
    soft = training_labels(targets, "targets", "soft", 2, torch.float64)
    torch.testing.assert_close(soft, torch.tensor([[1.0, 0.0], [0.6, 0.4]], dtype=torch.float64))
