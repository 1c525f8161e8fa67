"""The mathematics of the methods: tensors in, scalar out."""

from lightning_dd.losses.distances import (
    DISTANCES,
    convolution_distance,
    cosine_distance,
    feature_mean_distance,
    rowwise_distance,
    squared_distance,
    trajectory_distance,
)
from lightning_dd.losses.distributions import (
    attention_map,
    characteristic_distance,
    characteristic_function,
    covariance_distance,
)
from lightning_dd.losses.kernel_ridge import centered_targets, label_margin, solve_ridge, squared_error
from lightning_dd.losses.ntk import fc_ntk
from lightning_dd.losses.surrogate import with_gradient

__all__ = [
    "DISTANCES",
    "attention_map",
    "centered_targets",
    "characteristic_distance",
    "characteristic_function",
    "convolution_distance",
    "cosine_distance",
    "covariance_distance",
    "fc_ntk",
    "feature_mean_distance",
    "label_margin",
    "rowwise_distance",
    "solve_ridge",
    "squared_distance",
    "squared_error",
    "trajectory_distance",
    "with_gradient",
]
