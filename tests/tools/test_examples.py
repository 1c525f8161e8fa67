"""The worked examples run, and do what they say."""

from examples.continual import continual
from lightning_dd.data import Digits


def test_continual_learning_remembers_earlier_tasks():
    """Ten classes guessed at random would be right in 10 %; the last two alone, in 20 %."""
    accuracies = continual(Digits(), "dm", ipc=2, steps=10, epochs=60)
    assert len(accuracies) == 5
    assert accuracies[0] > 80
    assert accuracies[-1] > 30


def test_the_memory_may_hold_real_images():
    assert continual(Digits(), "random", ipc=1, steps=1, epochs=60)[0] > 80
