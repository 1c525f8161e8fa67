"""The mathematics of the methods: tensors in, scalar out."""

from lightning_dd.losses.feature_mean import feature_mean_distance
from lightning_dd.losses.surrogate import with_gradient

__all__ = ["feature_mean_distance", "with_gradient"]
