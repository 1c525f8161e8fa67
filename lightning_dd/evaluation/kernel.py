"""Score a set by kernel ridge regression, without any network."""

import torch
from torch import Tensor

from lightning_dd.losses import solve_ridge

LARGEST_CHUNK = 1000
LARGEST_PIXEL_PAIRS = 2**22
"""That a convolutional kernel holds at a time."""


@torch.no_grad()
def kernel_accuracy(
    images: Tensor,
    targets: Tensor,
    test_images: Tensor,
    test_labels: Tensor,
    name: str,
    depth: int,
    ridge: float,
) -> float:
    """Return the accuracy in percent of the regression from a set to the test images.

    Args:
        images: `(N, C, H, W)` of the set, prepared.
        targets: `(N, num_classes)` what its images are regressed to.
        test_images: `(T, C, H, W)`, prepared.
        test_labels: `(T,)` class indices.
        name: of the kernel.
        depth: of its network.
        ridge: relative to the mean of the kernel's diagonal.
    """
    kernel = fc_ntk
    weights = solve_ridge(kernel(images, depth=depth), targets, ridge).weights
    chunk = LARGEST_CHUNK
    if name == "conv_ntk":
        chunk = min(chunk, max(1, LARGEST_PIXEL_PAIRS // (len(images) * images[0, 0].numel() ** 2)))
    predicted = [(kernel(part, images, depth=depth) @ weights).argmax(1) for part in test_images.split(chunk)]
    return 100 * (torch.cat(predicted) == test_labels).double().mean().item()
