"""The mathematics of the methods: tensors in, scalar out."""

from lightning_dd.losses.feature_mean import feature_mean_distance
from lightning_dd.losses.gradient_distance import DISTANCES, cosine_distance, rowwise_distance, squared_distance
from lightning_dd.losses.surrogate import with_gradient

__all__ = [
    "DISTANCES",
    "cosine_distance",
    "feature_mean_distance",
    "rowwise_distance",
    "squared_distance",
    "with_gradient",
]
