"""Gradients of each class: batched as well as alone, in chunks as well as whole, once and twice differentiable."""

from functools import partial

import pytest
import torch
from torch.nn import functional as F

from lightning_dd.networks import ConvNet, build
from lightning_dd.unroll.class_gradients import class_gradients, class_gradients_in_chunks

SHAPE = (2, 8, 10)
LABELS = torch.tensor([2, 0, 1])


def _network(norm: str = "instance", pooling: str = "avg"):
    factory = partial(ConvNet, width=4, depth=2, norm=norm, pooling=pooling)
    return build(factory, SHAPE, 3, torch.Generator().manual_seed(0)).double()


def _images(count: int = 5) -> torch.Tensor:
    return torch.randn(3, count, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _naive(network, images, labels) -> list[torch.Tensor]:
    gradients = []
    for group, label in zip(images, labels, strict=True):
        network.zero_grad()
        losses = [F.cross_entropy(network(image[None]), label[None]) for image in group]
        (sum(losses) / len(group)).backward()
        gradients.append([parameter.grad.clone() for parameter in network.parameters()])
    return [torch.stack(rows) for rows in zip(*gradients, strict=True)]


@pytest.mark.parametrize("norm", ["instance", "layer", "group", "none"])
@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_batched_is_one_at_a_time(norm, pooling):
    network, images = _network(norm, pooling), _images()
    expected = _naive(network, images, LABELS)
    torch.testing.assert_close(class_gradients(network, images, LABELS), expected)
    for row in range(3):
        alone = class_gradients(network, images[row : row + 1], LABELS[row : row + 1])
        torch.testing.assert_close(alone, [gradient[row : row + 1] for gradient in expected])


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("classes", [1, 3])
def test_chunks_change_nothing(chunk, classes):
    network, images = _network(), _images()[:classes]
    whole = class_gradients(network, images, LABELS[:classes])
    torch.testing.assert_close(class_gradients_in_chunks(network, images, LABELS[:classes], chunk), whole)


@pytest.mark.parametrize("classes", [1, 3])
def test_second_derivatives(classes):
    """The images' gradient of a function of the weights' gradient, against finite differences."""
    network, labels = _network(pooling="none"), LABELS[:classes]
    network.requires_grad_(True)

    def squares(images):
        return sum(gradient.square().sum() for gradient in class_gradients(network, images, labels))

    # an activation with a kink would spoil finite differences now and then
    for block in network.blocks:
        if isinstance(block, torch.nn.ReLU):
            block.forward = torch.nn.functional.softplus
    assert torch.autograd.gradcheck(squares, _images(2)[:classes].requires_grad_(), fast_mode=True)


@pytest.mark.parametrize("classes", [1, 3])
def test_real_gradients_carry_no_graph(classes):
    gradients = class_gradients(_network(), _images()[:classes], LABELS[:classes])
    assert not any(gradient.requires_grad for gradient in gradients)


def test_no_more_than_a_chunk_of_a_class_goes_through_the_network():
    network, seen = _network(), []
    network.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    class_gradients_in_chunks(network, _images()[:1], LABELS[:1], 2)
    assert seen == [2, 2, 1]
