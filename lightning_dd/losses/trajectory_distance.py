"""How far a student ends from its expert, as Matching Training Trajectories measures it (arXiv 2203.11932)."""

from torch import Tensor


def trajectory_distance(trained: Tensor, start: Tensor, target: Tensor) -> Tensor:
    """Return the squared distance to the expert's weights, relative to the expert's own way.

    `L = ||θ_N - θ*_{t+M}||² / ||θ*_t - θ*_{t+M}||²` over all parameters at once. A student that does not move scores
    exactly 1, one that arrives where the expert did scores 0.

    Args:
        trained: the student's weights after N steps, θ_N, `(W,)`.
        start: the expert's weights where the student started, θ*_t, `(W,)`; without a graph.
        target: the expert's weights M epochs later, θ*_{t+M}, `(W,)`; without a graph.

    Returns:
        A scalar; not finite where the expert did not move.

    Example:
        >>> import torch
        >>> trajectory_distance(torch.tensor([1.0, 1.0]), torch.tensor([0.0, 0.0]), torch.tensor([2.0, 0.0]))
        tensor(0.5000)
    """
    return (trained - target).square().sum() / (start - target).square().sum()
