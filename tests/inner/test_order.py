"""Which images each inner step is trained on."""

import torch

from lightning_dd.inner import fixed_order, random_order


def test_fixed_order_takes_turns():
    assert fixed_order(2, 4, 2, 3).tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [0, 1, 4, 5]]
    assert fixed_order(3, 1, 1, 2).tolist() == [[0, 1, 2]] * 2
    assert fixed_order(1, 3, 2, 3).tolist() == [[0, 1], [2, 0], [1, 2]]  # goes on where it stopped


def test_random_order_is_balanced_and_without_replacement():
    order = random_order(3, 5, 2, 40, torch.Generator().manual_seed(0))
    assert order.shape == (40, 6)
    assert (order // 5 == torch.tensor([0, 0, 1, 1, 2, 2])).all()
    assert all(len(set(rows)) == 6 for rows in order.tolist())
    assert order.unique().tolist() == list(range(15))


def test_some_of_the_classes():
    order = random_order(6, 2, 1, 60, torch.Generator().manual_seed(0), classes=4)
    assert all(len(set(rows)) == 4 for rows in (order // 2).tolist())
    assert (order // 2).unique().tolist() == list(range(6))
