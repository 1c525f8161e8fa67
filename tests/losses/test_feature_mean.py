import torch

from lightning_dd.losses import feature_mean_distance


def _naive(real, synthetic):
    total = 0.0
    for r, s in zip(real.tolist(), synthetic.tolist(), strict=True):
        for a, b in zip(r, s, strict=True):
            total += (a - b) ** 2
    return total


def test_hand_worked_number():
    real = torch.tensor([[1.0, 2.0], [0.0, -1.0]])
    synthetic = torch.tensor([[0.0, 4.0], [3.0, -1.0]])
    # class 0: 1 + 4, class 1: 9 + 0; a mean over classes would give 7, over features 2.5 + 4.5
    assert feature_mean_distance(real, synthetic).item() == 14.0


def test_naive_loop():
    generator = torch.Generator().manual_seed(0)
    real, synthetic = torch.randn(2, 5, 7, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(feature_mean_distance(real, synthetic).item(), _naive(real, synthetic))


def test_equal_means_have_no_distance_and_no_class_either():
    means = torch.randn(1, 4, generator=torch.Generator().manual_seed(0))
    assert feature_mean_distance(means, means).item() == 0.0
    assert feature_mean_distance(means[:0], means[:0]).item() == 0.0


def test_gradcheck():
    real, synthetic = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    synthetic.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: feature_mean_distance(real, s), synthetic)
    assert torch.autograd.gradgradcheck(lambda s: feature_mean_distance(real, s), synthetic)
