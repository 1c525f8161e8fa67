"""A scalar whose gradient is known already, so that a method can work out its gradient part by part."""

from torch import Tensor


def with_gradient(value: Tensor, tensor: Tensor, gradient: Tensor) -> Tensor:
    """Return `value`, with `gradient` as its gradient with respect to `tensor`.

    A method that bounds its memory goes through its objective in parts, each with a backward of its own, and hands the
    sum on as if it were one graph.

    Args:
        value: a scalar; without a graph.
        tensor: what was differentiated; its own graph, if any, goes on from here.
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
