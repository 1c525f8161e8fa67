import inspect
import math
from functools import partial

import pytest
import torch
from torch import nn

from lightning_dd.errors import UserError
from lightning_dd.networks import ConvNet, FRePoNet, Network, build
from lightning_dd.networks.base import has_batch_norm
from lightning_dd.networks.pooling import AveragePool2x2


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


@pytest.mark.parametrize(
    ("image_shape", "num_classes", "depth", "embed", "parameters"),
    [
        ((1, 28, 28), 10, 3, 2048, 317_706),
        ((3, 32, 32), 10, 3, 2048, 320_010),
        ((3, 32, 32), 100, 3, 2048, 504_420),
        ((3, 64, 64), 200, 4, 2048, 857_160),
        ((3, 64, 64), 200, 3, 8192, 1_938_120),
        ((3, 128, 128), 10, 5, 2048, None),
    ],
)
def test_published_sizes(image_shape, num_classes, depth, embed, parameters):
    network = ConvNet(image_shape, num_classes, depth=depth)
    assert network.classifier.in_features == embed
    if parameters:
        assert sum(p.numel() for p in network.parameters()) == parameters
    assert network.features(torch.zeros(1, *image_shape)).shape == (1, embed)


@pytest.mark.parametrize(
    ("sides", "depth"), [((8, 8), 3), ((28, 28), 3), ((32, 32), 3), ((64, 96), 4), ((128, 128), 5), ((224, 224), 6)]
)
@pytest.mark.parametrize("family", [ConvNet, FRePoNet])
def test_the_depth_follows_the_size(family, sides, depth):
    """DC, MTT and FRePo take 4 blocks for Tiny-ImageNet, MTT 5 for 128 pixels (arXiv 2203.11932)."""
    with torch.device("meta"):
        network = family((3, *sides), 10, width=2)
    assert sum(isinstance(module, nn.Conv2d) for module in network.modules()) == depth
    assert f"depth {depth}" in network.description or depth == 3


ACTIVATIONS, NORMS, POOLINGS = (
    inspect.signature(ConvNet).parameters[name].annotation.__args__ for name in ("activation", "norm", "pooling")
)


@pytest.mark.parametrize("image_shape", [(3, 16, 16), (1, 28, 28), (1, 8, 8), (2, 9, 14)])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_variant_runs_forward_and_backward(activation, norm, pooling, image_shape):
    network = build(
        partial(ConvNet, width=8, depth=2, activation=activation, norm=norm, pooling=pooling),
        image_shape,
        5,
        _generator(),
    )
    images = torch.randn(3, *image_shape, generator=_generator(1), requires_grad=True)
    features = network.features(images)
    logits = network.classifier(features)
    assert features.shape == (3, network.classifier.in_features)
    assert logits.shape == (3, 5)
    logits.square().sum().backward()
    assert images.grad.isfinite().all()
    assert images.grad.abs().sum() > 0
    assert all(p.grad.isfinite().all() for p in network.parameters())
    assert has_batch_norm(network) == (norm == "batch")
    assert torch.equal(network(images), logits) or norm == "batch"


@pytest.mark.parametrize("norm", NORMS)
def test_a_stage_is_a_convolution_and_what_follows_it(norm):
    network = build(partial(ConvNet, width=8, depth=2, norm=norm), (3, 16, 16), 5, _generator())
    images = torch.randn(3, 3, 16, 16, generator=_generator(1))
    stages = network.features(images, layers=[0, 1])
    assert [stage.shape[1:] for stage in stages] == [(8, 8, 8), (8, 4, 4)]
    assert torch.equal(stages[1].flatten(1), network.features(images)) or norm == "batch"


def test_plain_reference():
    # the published block written out with functional calls
    network = build(partial(ConvNet, width=4, depth=2), (3, 8, 8), 2, _generator())
    x = torch.randn(2, 3, 8, 8, generator=_generator(1))
    out = x
    for conv, norm in ((network.blocks[0], network.blocks[1]), (network.blocks[4], network.blocks[5])):
        out = nn.functional.conv2d(out, conv.weight, conv.bias, padding=1)
        mean, var = out.mean((2, 3), keepdim=True), out.var((2, 3), unbiased=False, keepdim=True)
        out = (out - mean) / (var + 1e-5).sqrt() * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)
        out = nn.functional.avg_pool2d(out.clamp(min=0), 2, 2)
    logits = out.reshape(2, -1) @ network.classifier.weight.T + network.classifier.bias
    torch.testing.assert_close(network(x), logits)


def test_second_derivatives_pass_the_in_place_activation():
    network = build(partial(ConvNet, width=4, depth=1), (1, 6, 6), 2, _generator()).double()
    x = torch.randn(2, 1, 6, 6, generator=_generator(1), dtype=torch.float64, requires_grad=True)
    (weight_gradient,) = torch.autograd.grad(network(x).square().sum(), network.blocks[0].weight, create_graph=True)
    (pixel_gradient,) = torch.autograd.grad(weight_gradient.square().sum(), x)
    assert pixel_gradient.isfinite().all()
    assert pixel_gradient.abs().sum() > 0


def test_depth_that_does_not_fit_is_refused():
    ConvNet((1, 8, 8), 10, width=4, depth=3)
    with pytest.raises(UserError, match="largest depth that fits is 3"):
        ConvNet((1, 8, 8), 10, depth=4)
    with pytest.raises(UserError, match="largest depth that fits is 2"):
        ConvNet((3, 7, 32), 10)
    ConvNet((1, 28, 28), 10, width=4, depth=5)  # padded to 32
    ConvNet((1, 8, 8), 10, width=4, depth=4, pooling="none")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "at least 1"),
        ({"activation": "gelu"}, "relu, leaky_relu, sigmoid, swish"),
        ({"norm": "instnace"}, "none, instance, batch, layer, group"),
        ({"pooling": "sum"}, "avg, max, none"),
        ({"norm": "group", "width": 10}, "divisible by 4"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        ConvNet((3, 16, 16), 10, **options)


@pytest.mark.parametrize("norm", NORMS)
def test_initialize_depends_on_the_generator_alone(norm):
    state = torch.get_rng_state()
    factory = partial(ConvNet, width=8, norm=norm)
    network = build(factory, (3, 16, 16), 4, _generator(5))
    pointers = [p.data_ptr() for p in network.parameters()]
    first = _weights(network)
    other = _weights(network.initialize(_generator(6)))
    again = _weights(network.initialize(_generator(5)))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert pointers == [p.data_ptr() for p in network.parameters()]
    assert all(p.requires_grad for p in network.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_initialize_has_the_default_statistics():
    network = build(ConvNet, (3, 32, 32), 10, _generator())
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            bound = 1 / math.sqrt(module.weight[0].numel())
            for tensor in (module.weight, module.bias):
                assert tensor.abs().max() <= bound
            assert module.weight.abs().max() > 0.99 * bound
            # a uniform's standard deviation; 3456 numbers or more
            assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)
            assert abs(module.weight.mean().item()) < 0.05 * bound
        elif isinstance(module, nn.GroupNorm):
            assert torch.equal(module.weight, torch.ones(128))
            assert torch.equal(module.bias, torch.zeros(128))


def test_initialize_resets_norm_layers_and_running_statistics():
    network = build(partial(ConvNet, width=4, norm="batch"), (3, 8, 8), 2, _generator())
    with torch.no_grad():
        network(torch.randn(4, 3, 8, 8, generator=_generator(1)) + 3)
        network.blocks[1].weight.fill_(7)
        network.blocks[1].bias.fill_(7)
    network.initialize(_generator())
    norm = network.blocks[1]
    for tensor, value in ((norm.running_mean, 0), (norm.running_var, 1), (norm.weight, 1), (norm.bias, 0)):
        assert torch.equal(tensor, torch.full_like(tensor, value))
    assert norm.num_batches_tracked == 0


def test_initialize_refuses_a_layer_it_does_not_know():
    class Strange(Network):
        def __init__(self):
            super().__init__()
            self.layer = nn.PReLU()

        def features(self, x):
            return self.layer(x).flatten(1)

    with pytest.raises(TypeError, match="PReLU"):
        Strange().initialize(_generator())


def test_build_foreign_module():
    def factory(image_shape, num_classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(image_shape), num_classes))

    state = torch.get_rng_state()
    first, again, other = (build(factory, (1, 4, 4), 3, _generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(_weights(first), _weights(again))
    assert not torch.equal(_weights(first), _weights(other))
    assert torch.equal(state, torch.get_rng_state())
    generator = _generator()
    assert not torch.equal(*(_weights(build(factory, (1, 4, 4), 3, generator)) for _ in range(2)))


@pytest.mark.parametrize("size", [(8, 8), (7, 10), (3, 2), (1, 4)])
def test_average_pooling_is_the_library_s(size):
    images = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    expected = torch.nn.functional.avg_pool2d(images, 2) if min(size) > 1 else torch.zeros(2, 3, 0, size[1] // 2)
    pooled = AveragePool2x2()(images)
    torch.testing.assert_close(pooled, expected.to(pooled))
    if pooled.numel():
        assert torch.autograd.gradcheck(AveragePool2x2(), images)
        assert torch.autograd.gradgradcheck(AveragePool2x2(), images)
