"""Protocols of a user's."""

from lightning_dd.evaluation import Protocol


class Still(Protocol):
    """Networks stay as they are drawn."""

    def train(self, *_):
        """Do nothing."""


SHORT = Protocol("another name", "", 3, learning_rate=0.05)
STILL = Still("still", "", 1)
