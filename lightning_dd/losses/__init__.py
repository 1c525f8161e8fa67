"""The mathematics of the methods: tensors in, scalar out."""

from lightning_dd.losses.feature_mean import feature_mean_distance
from lightning_dd.losses.surrogate import with_gradient
from lightning_dd.losses.trajectory_distance import trajectory_distance

__all__ = ["feature_mean_distance", "trajectory_distance", "with_gradient"]
