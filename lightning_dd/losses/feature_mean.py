"""The distance between mean features that Distribution Matching minimises (arXiv 2110.04181)."""

from torch import Tensor


def feature_mean_distance(real_means: Tensor, synthetic_means: Tensor) -> Tensor:
    """Return the squared distance of mean features, summed over classes.

    `L = sum_c || mean(φ(ω(B_c))) - mean(φ(ω(S_c))) ||²`, the sum running over classes c and features: divided neither
    by the number of classes nor by that of features.

    Args:
        real_means: mean feature of each class's real batch B_c, `(K, F)`; without a graph.
        synthetic_means: mean feature of each class's synthetic images S_c, `(K, F)`.

    Returns:
        A scalar; 0 where there is no class.

    Example:
        >>> import torch
        >>> feature_mean_distance(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]]))
        tensor(5.)
    """
    return (real_means - synthetic_means).square().sum()
