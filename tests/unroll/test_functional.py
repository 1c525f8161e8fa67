"""A network as a function of its weights; a loss in chunks."""

import functools

import pytest
import torch

from lightning_dd.networks import ConvNet, build
from lightning_dd.unroll import CrossEntropy, FlatNetwork
from lightning_dd.unroll.chunks import gradient_of, sum_in_chunks

SHAPE = (1, 6, 4)


def _network(seed: int, norm: str = "instance") -> torch.nn.Module:
    factory = functools.partial(ConvNet, width=3, depth=1, norm=norm)
    return build(factory, SHAPE, 3, torch.Generator().manual_seed(seed)).double()


def _images(count: int) -> torch.Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


def test_a_vector_of_weights_gives_the_networks_logits():
    flat, other = FlatNetwork(_network(0)), _network(1)
    torch.testing.assert_close(flat(flat.weights(other), _images(4)), other(_images(4)))
    for name, part in flat.named(flat.weights(other)).items():
        assert torch.equal(part, other.get_parameter(name))


def test_the_networks_own_weights_and_statistics_stay():
    network = _network(0, "batch")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    FlatNetwork(network)(FlatNetwork(network).weights(_network(1, "batch")), _images(4))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("chunk", [1, 3, 7, 20])
def test_chunks_have_the_value_and_the_gradient_of_the_whole(chunk):
    flat = FlatNetwork(_network(0))
    objective = CrossEntropy(flat, "sum")
    weights, labels = flat.weights().requires_grad_(), torch.arange(7) % 3
    whole = objective(weights, _images(7), labels)
    parts = sum_in_chunks(gradient_of(objective), weights, _images(7), labels, chunk)
    torch.testing.assert_close(parts, whole)
    found, expected = (torch.autograd.grad(2 * loss, weights)[0] for loss in (parts, whole))
    torch.testing.assert_close(found, expected)


def test_no_more_than_a_chunk_is_in_one_forward():
    flat, seen = FlatNetwork(_network(0)), []
    whole = CrossEntropy(flat, "sum")

    def counted(weights, images, labels):
        seen.append(len(images))
        return whole(weights, images, labels)

    sum_in_chunks(gradient_of(counted), flat.weights(), _images(7), torch.arange(7) % 3, 3)
    assert seen == [3, 3, 1]
