"""A scalar with a given gradient, for methods that compute theirs part by part."""

from torch import Tensor


def with_gradient(value: Tensor, tensor: Tensor, gradient: Tensor) -> Tensor:
    """Return `value`, with `gradient` as its gradient with respect to `tensor`.

    A method that bounds its memory computes its objective in parts, each with its own backward, and passes on the sum.

    Args:
        value: a scalar; without a graph.
        tensor: its own graph, if any, goes on from here.
        gradient: of the shape of `tensor`.

    Example:
        >>> import torch
        >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> with_gradient(torch.tensor(5.0), x, torch.tensor([3.0, 4.0])).backward()
        >>> x.grad
        tensor([3., 4.])
    """
    # the difference is exactly zero, and so changes nothing but the gradient
    return value.detach() + ((tensor - tensor.detach()) * gradient.detach()).sum()
