"""Networks of torchvision, timm and the user's own, by name."""

import builtins
import json
from functools import partial

import pytest
import torch

from lightning_dd.app.commands.evaluate import main as evaluate
from lightning_dd.errors import UserError
from lightning_dd.networks import Timm, Torchvision, build
from lightning_dd.networks.base import has_batch_norm
from lightning_dd.networks.named import named_network, recorded_network
from lightning_dd.training.pretrained import source_digest
from lightning_dd.training.sources import RandomNetworks, SourceContext
from tests.networks.own import Plain


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


@pytest.mark.parametrize(("name", "features"), [("resnet18", 512), ("mobilenet_v3_small", 1024)])
def test_torchvision(name, features):
    network = build(partial(Torchvision, name=name), (1, 32, 32), 7, _generator()).eval()
    images = torch.randn(2, 1, 32, 32, generator=_generator(1))
    assert network.features(images).shape == (2, features)
    assert network(images).shape == (2, 7)
    assert has_batch_norm(network)
    assert network.description == f"torchvision {name}"


def test_equals_the_library_s_own():
    from torchvision.models import resnet18

    network = Torchvision((3, 32, 32), 7).eval()
    plain = resnet18(num_classes=7).eval()
    named = {f"body.{name}": tensor for name, tensor in plain.state_dict().items() if not name.startswith("fc")}
    network.load_state_dict({**named, "classifier.weight": plain.fc.weight, "classifier.bias": plain.fc.bias})
    images = torch.randn(2, 3, 32, 32, generator=_generator(1))
    torch.testing.assert_close(network(images), plain(images))


def test_weights_depend_on_the_generator_alone():
    state = torch.get_rng_state()
    network = build(Torchvision, (3, 32, 32), 7, _generator(5))
    first = _weights(network)
    assert not torch.equal(_weights(network.initialize(_generator(6))), first)
    assert torch.equal(_weights(network.initialize(_generator(5))), first)
    assert torch.equal(torch.get_rng_state(), state)


def test_serves_as_a_source_of_fresh_networks():
    source = RandomNetworks()
    source.setup(SourceContext(Torchvision, (3, 32, 32), 7, seed=0))
    first = source.at(0)
    weights = _weights(first)
    assert source.at(1) is first
    assert not torch.equal(_weights(first), weights)


def test_options_reach_the_constructor():
    whole, half = (Torchvision((3, 32, 32), 7, "mobilenet_v3_small", {"width_mult": width}) for width in (1.0, 0.5))
    assert _weights(half).numel() < _weights(whole).numel()
    with pytest.raises(UserError, match=r"cannot be made from these options.*colour"):
        Torchvision((3, 32, 32), 7, options={"colour": 1})
    with pytest.raises(UserError, match=r"cannot be made from these options: BasicBlock only supports groups=1"):
        Torchvision((3, 32, 32), 7, options={"width_per_group": 128})


def test_what_cannot_be():
    with pytest.raises(UserError, match="no network 'resnet81' in torchvision; did you mean resnet18"):
        Torchvision((3, 32, 32), 7, "resnet81")
    with pytest.raises(UserError, match="torchvision alexnet does not take images of 3x16x16"):
        Torchvision((3, 16, 16), 7, "alexnet")
    with pytest.raises(UserError, match="does not take images of 2x32x32"):
        Torchvision((2, 32, 32), 7)
    with pytest.raises(UserError, match="does not end in a linear layer"):
        Torchvision((3, 64, 64), 7, "squeezenet1_1")


def test_timm_where_it_is_missing(monkeypatch):
    real = builtins.__import__

    def refusing(name, *arguments, **named):
        if name == "timm":
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", refusing)
    with pytest.raises(UserError, match="pip install timm"):
        Timm((3, 32, 32), 7)


def test_timm():
    pytest.importorskip("timm")
    network = build(partial(Timm, name="resnet18"), (1, 32, 32), 7, _generator()).eval()
    assert network.features(torch.zeros(2, 1, 32, 32)).shape == (2, 512)
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 7)


def test_a_network_of_ones_own_is_drawn_from_the_key_and_has_features():
    factory = named_network("tests.networks.own.Plain")
    network, again = (build(factory, (1, 8, 8), 7, _generator(3)) for _ in range(2))
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(network(images), again(images))
    assert network.features(images).shape == (2, 32)
    assert source_digest(network.written_in) == source_digest(Plain)
    with pytest.raises(
        UserError, match=r"is none of lightning_dd\.networks: give it, such as 'tests.networks.own.Plain'"
    ):
        recorded_network(network.made_from)


def test_a_network_of_ones_own_in_distilling_evaluating_and_tables(fit, product, tmp_path):
    own = "tests.networks.own.Plain"
    names = [
        word
        for room in ("model", "evaluation")
        for word in (f"--{room}.network", "Custom", f"--{room}.network.name", own)
    ]
    evaluation = ["--evaluation.enabled", "true", "--evaluation.num_networks", "1", "--evaluation.epochs", "1"]
    assert fit(*names, *evaluation, "--trainer.max_steps", "1") == 0
    distilled = product()
    assert distilled.info["evaluations"][-1]["network"] == own
    assert "Plain" in str(distilled.train(own, epochs=1))
    table = ["--networks", f"{own}:width=2", "--num_networks", "1", "--epochs", "1", "--out", str(tmp_path / "out")]
    assert evaluate([str(distilled.folder), *table]) == 0
    (kept, *_) = json.loads((tmp_path / "out" / "cells.json").read_text())["cells"].values()
    assert kept["what"]["code"] == source_digest(Plain)  # another one, and the cell is measured anew


@pytest.mark.parametrize("option", [pytest.param("--evaluation.network", marks=pytest.mark.slow), "--model.network"])
def test_on_the_command_line(option, fit, product):
    names = [option, "Torchvision", f"{option}.name", "resnet18"]
    evaluation = ["--evaluation.enabled", "true", "--evaluation.num_networks", "1", "--evaluation.epochs", "1"]
    steps = ["--trainer.max_steps", "1", "--data.held_out", "0.5", "--evaluation.split", "held_out"]
    assert fit(*names, *evaluation, *steps) == 0
    assert product().info["evaluations"][-1]["network"] == "torchvision resnet18"


@pytest.mark.parametrize("option", ["--evaluation.network", "--model.network"])
def test_the_library_s_own_path_is_explained(option, fit, capsys):
    assert fit(option, "torchvision.models.resnet18") == 1
    assert f"{option} Torchvision {option}.name resnet18" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "efficientnet_b0"])
def test_what_methods_match_on_drops_nothing_out(name):
    """Dropout and stochastic depth draw from the global generator, which has no key."""
    networks = RandomNetworks()
    networks.setup(SourceContext(partial(Torchvision, name=name), (3, 32, 32), 7, seed=0))
    images = torch.randn(4, 3, 32, 32, generator=_generator(1))
    before = torch.random.get_rng_state()
    features = [networks.at(5).features(images) for _ in range(2)]
    assert torch.equal(*features)
    assert torch.equal(torch.random.get_rng_state(), before)
