"""One walk through every network: forward, backward, features, odd sizes, one channel, double backward, new weights."""

import inspect
import math
from functools import partial

import pytest
import torch
from torch import nn

from lightning_dd import networks
from lightning_dd.errors import UserError
from lightning_dd.networks import Network, build
from lightning_dd.networks.base import has_batch_norm
from lightning_dd.networks.external import ExternalNetwork

SMALL = {"ConvNet": {"width": 8}, "FRePoNet": {"width": 4}, "MLP": {"width": 16}}
FAMILIES = [
    family
    for family in (getattr(networks, name) for name in networks.__all__)
    if inspect.isclass(family) and issubclass(family, Network) and family is not Network
]
OWN = [family for family in FAMILIES if not issubclass(family, ExternalNetwork)]


def _norms(family):
    parameter = inspect.signature(family).parameters.get("norm")
    return [{"norm": norm} for norm in ("none", "instance", "batch")] if parameter else [{}]


VARIANTS = [
    pytest.param(
        partial(family, **SMALL.get(family.__name__, {}), **norm), id=" ".join([family.__name__, *norm.values()])
    )
    for family in OWN
    for norm in _norms(family)
]


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def test_every_family_is_walked():
    assert {family.__name__ for family in OWN} >= {
        *("MLP", "LeNet", "ConvNet", "AlexNet", "VGG11", "ResNet18", "ResNet18_AP", "FRePoNet")
    }


@pytest.mark.parametrize("image_shape", [(1, 28, 28), (3, 32, 32), (3, 37, 21), (1, 32, 32), (3, 64, 64)])
@pytest.mark.parametrize("factory", VARIANTS)
def test_forward_and_backward(factory, image_shape):
    network = build(factory, image_shape, 5, _generator())
    images = torch.randn(2, *image_shape, generator=_generator(1), requires_grad=True)
    features = network.features(images)
    logits = network.classifier(features)
    assert features.ndim == 2
    assert logits.shape == (2, 5)
    logits.square().sum().backward()
    for name, tensor in [("images", images), *network.named_parameters()]:
        assert tensor.grad.isfinite().all(), name
        assert tensor.grad.any() or "bias" in name, name  # a norm after a convolution takes its bias away
    network.eval()
    assert torch.equal(network(images), network.classifier(network.features(images)))


@pytest.mark.parametrize("factory", [v for v in VARIANTS if "ResNet" not in v.id or v.id.endswith("instance")])
def test_double_backward(factory):
    network = build(factory, (1, 17, 18), 3, _generator()).double()
    images = torch.randn(2, 1, 17, 18, generator=_generator(1), dtype=torch.float64, requires_grad=True)
    loss = nn.functional.cross_entropy(network(images), torch.tensor([0, 2]))
    weights = [p for p in network.parameters() if p.ndim > 1]
    gradients = torch.autograd.grad(loss, weights, create_graph=True)
    (pixels,) = torch.autograd.grad(sum(g.square().sum() for g in gradients), images)
    assert pixels.isfinite().all()
    assert pixels.any()


@pytest.mark.parametrize("factory", VARIANTS)
def test_features_do_not_mix_examples_unless_said(factory):
    network = build(factory, (3, 20, 20), 3, _generator())
    images = torch.randn(3, 3, 20, 20, generator=_generator(1))
    with torch.no_grad():
        together, alone = network.features(images)[:2], network.features(images[:2])
    assert has_batch_norm(network) == (not torch.allclose(together, alone, atol=1e-5))
    assert has_batch_norm(network) == any(isinstance(m, nn.BatchNorm2d) for m in network.modules())


@pytest.mark.parametrize("factory", VARIANTS)
def test_weights_depend_on_the_generator_alone(factory):
    state = torch.get_rng_state()
    network = build(factory, (1, 28, 28), 4, _generator(5))
    first, pointers = _weights(network), [p.data_ptr() for p in network.parameters()]
    other = _weights(network.initialize(_generator(6)))
    assert torch.equal(_weights(network.initialize(_generator(5))), first)
    assert not torch.equal(other, first)
    assert pointers == [p.data_ptr() for p in network.parameters()]  # in place: nothing compiled is lost
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("family", "cifar", "mnist"),
    [
        # weights and biases layer by layer, for 10 classes at 3x32x32 and 1x28x28
        ("MLP", 3072 * 128 + 128 * 128 + 128 * 10 + 2 * 128 + 10, 784 * 128 + 128 * 128 + 128 * 10 + 2 * 128 + 10),
        ("LeNet", 62_006, 61_706),
        ("ConvNet", 320_010, 317_706),
        ("AlexNet", 9_728 + 614_592 + 442_624 + 442_560 + 331_968 + 30_730, 1_872_202 - 2 * 25 * 128),
        ("VGG11", 9_231_114, 9_231_114 - 2 * 9 * 64),
        ("ResNet18", 11_173_962, 11_173_962 - 2 * 9 * 64),
        ("ResNet18_AP", 11_173_962 + 15 * 5_120, 11_173_962 - 2 * 9 * 64 + 8 * 5_120),
        ("FRePoNet", 1_561_610, 1_559_306),
    ],
)
def test_published_numbers_of_parameters(family, cifar, mnist):
    for image_shape, expected in (((3, 32, 32), cifar), ((1, 28, 28), mnist)):
        with torch.device("meta"):
            network = getattr(networks, family)(image_shape, 10)
        assert sum(p.numel() for p in network.parameters()) == expected


@pytest.mark.parametrize(
    ("family", "cifar", "mnist", "tiny"),
    [
        ("MLP", 128, 128, 128),
        ("LeNet", 84, 84, 84),
        ("AlexNet", 192 * 16, 192 * 16, 192 * 64),
        ("VGG11", 512, 512, 512 * 4),
        ("ResNet18", 512, 512, 512),
        ("ResNet18_AP", 512 * 16, 512 * 9, 512 * 64),
        ("FRePoNet", 8192, 8192, 1024 * 16),
    ],
)
def test_published_numbers_of_features(family, cifar, mnist, tiny):
    for image_shape, expected in (((3, 32, 32), cifar), ((1, 28, 28), mnist), ((3, 64, 64), tiny)):
        with torch.device("meta"):
            network = getattr(networks, family)(image_shape, 10)
            assert network.features(torch.zeros(1, *image_shape)).shape == (1, expected)


@pytest.mark.parametrize(("family", "smallest"), [("LeNet", 16), ("AlexNet", 5), ("VGG11", 17), ("ResNet18", 9)])
def test_smallest_images(family, smallest):
    family = getattr(networks, family)
    network = build(family, (1, smallest, 40), 3, _generator())
    images = torch.randn(2, 1, smallest, 40, generator=_generator(1))
    assert network(images).std(0).min() > 0  # the images still matter
    with pytest.raises(UserError, match=f"at least {smallest}x{smallest} pixels, not 40x{smallest - 1}"):
        family((1, 40, smallest - 1), 3)


@pytest.mark.parametrize("family", [family for family in OWN if _norms(family) != [{}]])
def test_unknown_normalization_is_refused(family):
    with pytest.raises(UserError, match=f"{family.__name__}.s norm must be one of .*, got 'layers'"):
        family((3, 32, 32), 10, norm="layers")


def test_names_in_tables():
    shape = (3, 32, 32)
    assert networks.AlexNet(shape, 10).description == "AlexNet"
    assert networks.AlexNet(shape, 10, norm="batch").description == "AlexNet (norm batch)"
    assert networks.ResNet18_AP(shape, 10).description == "ResNet18_AP"
    assert networks.FRePoNet(shape, 10, width=8, norm="none").description == "FRePoNet (width 8, norm none)"


def test_residual_block_by_hand():
    block = networks.resnet.ResidualBlock(3, 6, "instance", halves=True)
    x = torch.randn(2, 3, 8, 6, generator=_generator())
    first, norm, _, second, other_norm = block.residual
    out = nn.functional.conv2d(x, first.weight, stride=2, padding=1)
    out = nn.functional.conv2d(norm(out).clamp(min=0), second.weight, padding=1)
    shortcut = block.shortcut[1](nn.functional.conv2d(x, block.shortcut[0].weight, stride=2))
    torch.testing.assert_close(block(x), (other_norm(out) + shortcut).clamp(min=0))


def test_pooling_residual_block_by_hand():
    block = networks.resnet.ResidualBlock(3, 6, "batch", halves=True, pools=True)
    x = torch.randn(2, 3, 8, 6, generator=_generator())
    first, norm, _, _, second, other_norm = block.residual
    pool = nn.AvgPool2d(2)
    out = pool(norm(nn.functional.conv2d(x, first.weight, padding=1)).clamp(min=0))
    out = other_norm(nn.functional.conv2d(out, second.weight, padding=1))
    projection, _, shortcut_norm = block.shortcut
    shortcut = shortcut_norm(pool(nn.functional.conv2d(x, projection.weight)))
    torch.testing.assert_close(block(x), (out + shortcut).clamp(min=0))


def test_frepo_normalizes_between_blocks_only():
    network = build(partial(networks.FRePoNet, width=4), (3, 32, 32), 10, _generator())
    kinds = [type(module).__name__ for module in network.blocks]
    block = ["Conv2d", "ReLU", "AveragePool2x2"]
    assert kinds == [*block, "_FlaxBatchNorm2d", *block, "_FlaxBatchNorm2d", *block]
    assert isinstance(network.blocks[3], nn.BatchNorm2d)
    assert [m.out_channels for m in network.blocks if isinstance(m, nn.Conv2d)] == [4, 8, 16]
    norm = network.blocks[3]
    before = network.blocks[:3](torch.randn(4, 3, 32, 32, generator=_generator(1)))
    norm(before)  # running <- 0.1 old + 0.9 batch
    torch.testing.assert_close(norm.running_mean, 0.9 * before.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, 0.1 + 0.9 * before.var((0, 2, 3), correction=0), rtol=1e-5, atol=0)


def test_frepo_weights_are_lecun_s_truncated_normal():
    network = build(networks.FRePoNet, (3, 32, 32), 10, _generator())
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 4
    for layer in layers:
        expected = 1 / math.sqrt(layer.weight[0].numel())
        assert layer.weight.std().item() == pytest.approx(expected, rel=0.05)
        assert layer.weight.abs().max() <= 2 * expected / 0.8796 * 1.001
        assert not layer.bias.any()


@pytest.mark.parametrize("factory", VARIANTS)
def test_intermediate_features_of_every_network(factory):
    network = build(factory, (3, 32, 32), 5, _generator()).eval()
    images = torch.randn(2, 3, 32, 32, generator=_generator(1))
    first, last = network.features(images, layers=[0, -1])
    assert torch.equal(network.flatten(last), network.features(images))
    assert first.shape[0] == 2
    assert not torch.equal(first, last)


def test_a_stage_of_a_convnet_is_a_block():
    network = build(partial(networks.ConvNet, width=4), (1, 16, 16), 2, _generator())
    outputs = network.features(torch.zeros(1, 1, 16, 16), layers=[0, 1, 2])
    assert [tuple(output.shape) for output in outputs] == [(1, 4, 8, 8), (1, 4, 4, 4), (1, 4, 2, 2)]
