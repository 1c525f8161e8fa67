"""The largest learning rate at which gradient descent on a network's squared error is stable, as KIP measures it."""

import torch
from torch import Tensor, nn

NUM_INPUTS = 50
_ITERATIONS = 30


def largest_stable_rate(network: nn.Module, images: Tensor, iterations: int = _ITERATIONS) -> float:
    """Return `2 n C / λ`, λ being the largest eigenvalue of the network's tangent kernel on n images.

    Under half the mean squared error over n images and C classes, gradient descent on the linearised network contracts
    below this rate (arXiv 2107.13034, after arXiv 2007.15801). The kernel is that of the sum of the logits over
    sqrt(C), in which a wide network's classes are independent. It is never formed: the eigenvalue comes from power
    iteration on products of Jacobians with vectors.

    Args:
        network: fresh; it is used in eval mode and left in the mode that it was in.
        images: `(N, C, H, W)`; the first 50 of them are looked at. (The paper looks at held-out images.)
        iterations: of the power method.
    """
    training = network.training
    network.eval()
    logits = network(images[:NUM_INPUTS])
    outputs = logits.sum(1) / logits.shape[1] ** 0.5
    eigenvalue = _largest_eigenvalue(outputs, [p for p in network.parameters() if p.requires_grad], iterations)
    network.train(training)
    return 2 * logits.numel() / eigenvalue


def _largest_eigenvalue(outputs: Tensor, weights: list[Tensor], iterations: int) -> float:
    """Return that of J J', J being the Jacobian of the outputs `(n,)` in the weights."""
    # the kernel's entries are mostly positive, so its first eigenvector is near this
    vector = torch.ones_like(outputs) / len(outputs) ** 0.5
    for _ in range(iterations):
        vector.requires_grad_()
        # J' v is linear in v: differentiating its product with a constant w gives J w
        back = torch.autograd.grad(outputs, weights, vector, create_graph=True)
        (product,) = torch.autograd.grad(back, vector, [gradient.detach() for gradient in back], retain_graph=True)
        eigenvalue = product.norm()
        vector = product / eigenvalue
    return eigenvalue.item()
