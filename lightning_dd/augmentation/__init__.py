"""Differentiable siamese augmentation with explicit generators."""

from lightning_dd.augmentation.dsa import ALL_OPERATIONS, DSA, Draw

__all__ = ["ALL_OPERATIONS", "DSA", "Draw"]
