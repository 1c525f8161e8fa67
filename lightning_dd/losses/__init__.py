"""The mathematics of the methods: tensors in, scalar out."""

from lightning_dd.losses.conv_ntk import conv_ntk
from lightning_dd.losses.feature_mean import feature_mean_distance
from lightning_dd.losses.kernel_ridge import centred_targets, label_margin, solve_labels, solve_ridge, squared_error
from lightning_dd.losses.ntk import fc_ntk
from lightning_dd.losses.surrogate import with_gradient

KERNELS = {"fc_ntk": fc_ntk, "conv_ntk": conv_ntk}
"""Kernels of infinitely wide networks, called with two sets of images and `depth`."""

__all__ = [
    "KERNELS",
    "centred_targets",
    "conv_ntk",
    "fc_ntk",
    "feature_mean_distance",
    "label_margin",
    "solve_labels",
    "solve_ridge",
    "squared_error",
    "with_gradient",
]
