"""Score a set by kernel ridge regression, without any network."""

import torch
from torch import Tensor

from lightning_dd.losses import fc_ntk, solve_ridge

TEST_CHUNK = 1000


@torch.no_grad()
def kernel_accuracy(
    images: Tensor, targets: Tensor, test_images: Tensor, test_labels: Tensor, depth: int, ridge: float
) -> float:
    """Return the accuracy in percent of the regression from a set to the test images, by the fully-connected NTK.

    Args:
        images: `(N, C, H, W)` of the set, prepared.
        targets: `(N, num_classes)` what its images are regressed to.
        test_images: `(T, C, H, W)`, prepared.
        test_labels: `(T,)` class indices.
        depth: hidden layers of the infinitely wide network.
        ridge: relative to the mean of the kernel's diagonal.
    """
    weights = solve_ridge(fc_ntk(images, depth=depth), targets, ridge).weights
    predicted = [(fc_ntk(part, images, depth) @ weights).argmax(1) for part in test_images.split(TEST_CHUNK)]
    return 100 * (torch.cat(predicted) == test_labels).double().mean().item()
