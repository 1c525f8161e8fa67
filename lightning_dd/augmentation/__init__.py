"""Differentiable siamese augmentation with explicit generators."""

from lightning_dd.augmentation.dsa import DSA, Draw

__all__ = ["DSA", "Draw"]
