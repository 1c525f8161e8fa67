"""FRePo: its loss against the formula, its options, and runs that resume in the middle of a pool's life."""

import functools
import os
import signal
from pathlib import Path

import pytest
import torch

from lightning_dd.data.sampling import Batch
from lightning_dd.errors import UserError
from lightning_dd.methods import FRePo
from lightning_dd.methods.optimizers import LAMB
from lightning_dd.networks import ConvNet, FRePoNet, build
from lightning_dd.networks.base import has_batch_norm
from lightning_dd.rng import generator
from lightning_dd.training.pool import NetworkPool
from tests.methods.steps import objective, ready, train_networks
from tools.reference import frepo

SHAPE = (2, 8, 12)
CONF = Path(__file__).parents[1] / "conf" / "frepo_digits.yaml"
NAME = "frepo_digits_ipc1"


@pytest.fixture(autouse=True)
def _double():
    """Networks are built in the default type, as under the Trainer's `64-true`."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def _module(ipc: int = 2, classes: int = 3, norm: str = "batch", **options) -> FRePo:
    network = functools.partial(FRePoNet, width=4, depth=2, norm=norm)
    options = {"real_batch": 9, "flip": False, "pool_size": 1, **options}
    module = FRePo(ipc, network=network, num_classes=classes, image_shape=SHAPE, seed=7, **options)
    with torch.no_grad():
        module.synthetic.codec.images.copy_(
            torch.randn(module.synthetic.codec.images.shape, generator=generator(0, "test"))
        )
        labels = module.synthetic.labels.values
        labels.add_(0.1 * torch.randn(labels.shape, generator=generator(1, "test")))
    return ready(module)


def _batch(module: FRePo, rows: slice = slice(None)) -> Batch:
    images = torch.randn(9, *SHAPE, generator=generator(2, "test"))
    labels = torch.arange(9) % module.num_classes
    return Batch(module.iteration, torch.empty(0, dtype=torch.long), images[rows], labels[rows])


def _naive_loss(module: FRePo, batch: Batch, flip: bool) -> torch.Tensor:
    network = build(module.network, SHAPE, module.num_classes, generator(7, "pool/start", 0)).eval()
    targets = torch.eye(module.num_classes)[batch.labels] - 1 / module.num_classes
    images, labels = module.synthetic.images(), module.synthetic.targets()
    return frepo.loss(network.features, batch.images, targets, images, labels, flip)


def _gradients(module: FRePo, loss: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(loss, [module.synthetic.codec.images, module.synthetic.labels.values])


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("ipc", "classes"), [(1, 3), (2, 3), (2, 12)])
def test_loss_is_the_formula(flip, ipc, classes):
    module = _module(ipc, classes, flip=flip)
    batch = _batch(module)
    loss, expected = objective(module, batch), _naive_loss(module, batch, flip)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(_gradients(module, loss), _gradients(module, expected))


def test_labels_start_centered_and_scaled():
    labels = FRePo(1, num_classes=40, image_shape=(3, 32, 32)).synthetic.labels.values
    torch.testing.assert_close(labels[0, :2], torch.tensor([1 - 1 / 40, -1 / 40]) / 2)


@pytest.mark.parametrize("option", ["real_chunk", "synthetic_chunk"])
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_chunks_change_nothing(option, chunk):
    whole, parts = _module(flip=True), _module(flip=True, **{option: chunk})
    for module in (whole, parts):  # so that the running statistics are not those of the start
        objective(module, _batch(module))
        train_networks(module)
    expected = _gradients(whole, objective(whole, _batch(whole)))
    torch.testing.assert_close(_gradients(parts, objective(parts, _batch(parts))), expected)


@pytest.mark.parametrize(("option", "learned"), [("real_chunk", False), ("synthetic_chunk", True)])
def test_no_more_images_than_a_chunk_are_in_one_forward(option, learned):
    module, seen = _module(flip=True, **{option: 4}), []
    network = module.networks.at(0)
    whole = network.features
    network.features = lambda images: seen.append((images.requires_grad, len(images))) or whole(images)
    module.networks.at = lambda iteration: network
    objective(module, _batch(module))
    assert max(count for needs, count in seen if needs == learned) == 4


def test_shares_of_the_batch_add_up(monkeypatch):
    module = _module()
    whole, whole_loss = _gradients(module, objective(module, _batch(module))), objective(module, _batch(module))
    parts, losses = [], []
    for rank in range(2):
        monkeypatch.setattr(FRePo, "global_rank", rank, raising=False)
        losses.append(objective(module, _batch(module, slice(rank, None, 2))))
        parts.append(_gradients(module, losses[-1]))
    torch.testing.assert_close(sum(losses), whole_loss)
    torch.testing.assert_close(tuple(map(sum, zip(*parts, strict=True))), whole)


def test_the_synthetic_set_predicts_its_own_labels():
    module = _module(norm="none")
    features = module.networks.at(0).features
    own = features(module.synthetic.codec.images) @ module.readout(features, module.synthetic)
    torch.testing.assert_close(own, module.synthetic.labels.values, atol=1e-3, rtol=0)


def test_says_when_the_ridge_had_to_be_raised():
    module = _module(ridge=1e-20)
    with torch.no_grad():
        module.synthetic.codec.images.copy_(
            module.synthetic.codec.images[:1].expand_as(module.synthetic.codec.images)
        )  # equal images: a singular kernel
    with pytest.warns(UserWarning, match="too ill-conditioned"):
        loss = objective(module, _batch(module))
    assert all(gradient.isfinite().all() for gradient in _gradients(module, loss))


def test_a_network_trains_on_the_set_and_leaves_it_alone():
    module = _module(pool_batch=100)
    objective(module, _batch(module))
    before = module.networks.state_dict()["network.classifier.weight"].clone()
    network = build(module.network, SHAPE, 3, generator(7, "pool/start", 0))
    (0.5 * (network(module.synthetic.codec.images) - module.synthetic.labels.values).square().sum(1).mean()).backward()
    torch.optim.Adam(network.parameters(), 3e-4).step()
    module.synthetic.codec.images.grad = None
    train_networks(module)
    after = module.networks.state_dict()["network.classifier.weight"]
    assert not torch.equal(after, before)
    torch.testing.assert_close(after[0], network.classifier.weight.detach())
    assert module.synthetic.codec.images.grad is None


def test_a_large_set_is_sampled_for_the_networks(monkeypatch):
    module, seen = _module(ipc=4, pool_batch=5), []
    objective(module, _batch(module))
    monkeypatch.setattr(
        FRePoNet, "forward", lambda self, x: seen.append(x) or x.flatten(1)[:, :3] * self.blocks[0].bias[0]
    )
    train_networks(module)
    assert seen[0].shape == (5, *SHAPE)
    rows = [(module.synthetic.codec.images == image).flatten(1).all(1).nonzero().item() for image in seen[0]]
    assert len(set(rows)) == 5


def test_labels_can_stay():
    module = _module(learn_labels=False)
    assert [name for name, _ in module.named_parameters()] == ["synthetic.codec.images"]
    objective(module, _batch(module)).backward()


def test_one_optimizer_with_named_groups():
    optimizer = _module(lr_decay=1.0).configure_optimizers()
    assert isinstance(optimizer, LAMB)
    assert [group["name"] for group in optimizer.param_groups] == ["images", "labels"]


def test_networks_are_no_part_of_the_module():
    module = _module()
    objective(module, _batch(module))
    assert [name for name, _ in module.named_parameters()] == ["synthetic.codec.images", "synthetic.labels.values"]
    assert [name for name, _ in module.named_children()] == ["synthetic"]


def test_a_network_without_features_is_refused():
    module = ready(FRePo(1, network=lambda shape, classes: torch.nn.Flatten(), num_classes=3, image_shape=SHAPE))
    with pytest.raises(UserError, match="features"):
        objective(module, _batch(module))


@pytest.mark.parametrize(
    ("network", "norm"),
    [
        (FRePoNet, "none"),
        (functools.partial(FRePoNet, width=8, norm="none"), "none"),
        (functools.partial(ConvNet, width=8), "instance"),
    ],
)
def test_evaluations_train_the_network_without_its_batch_norm(network, norm):
    module = FRePo(1, network=network, num_classes=3, image_shape=SHAPE)
    evaluated = module.evaluation_network(SHAPE, 3)
    assert evaluated.made_from["init_args"].get("norm", "instance") == norm
    assert type(evaluated) is type(network(SHAPE, 3))
    assert not has_batch_norm(evaluated)


def test_momentum_is_no_option(fit, capsys):
    assert fit("--model.momentum", "0.5", config=CONF) == 1
    assert "momentum" in capsys.readouterr().err
    with pytest.raises(UserError, match="momentum is no option of FRePo, which has a value of its own"):
        FRePo(1, momentum=0.5)


def test_the_artifact_carries_learned_labels(fit, product):
    torch.set_default_dtype(torch.float32)
    assert fit(config=CONF) == 0
    distilled = product(name=NAME)
    assert distilled.label_kind == "targets"
    assert distilled.labels.shape == (10, 10)
    assert distilled.labels.dtype == torch.float32
    assert not torch.equal(distilled.labels, torch.eye(10) - 0.1)  # learned
    assert torch.equal(distilled.hard_labels, torch.arange(10))


@pytest.mark.parametrize("stop", [5, *(pytest.param(stop, marks=pytest.mark.slow) for stop in (1, 9))])
def test_killed_and_resumed_equals_uninterrupted(stop, fit, product, tmp_path, monkeypatch):
    """With networks of every age, and a learning rate that depends on the planned number of steps."""
    torch.set_default_dtype(torch.float32)
    assert fit(config=CONF) == 0
    update = NetworkPool.update

    def killed(self, iteration, *arguments):
        update(self, iteration, *arguments)
        if iteration == stop:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(NetworkPool, "update", killed)
        assert fit(config=CONF, root=tmp_path / "b") == 143
    assert _checkpoint(tmp_path / "b")["iteration"] == stop + 1
    assert fit("--ckpt_path", "last", config=CONF, root=tmp_path / "b") == 0
    whole, resumed = product(name=NAME), product(name=NAME, root=tmp_path / "b")
    assert torch.equal(whole.images, resumed.images)
    assert torch.equal(whole.labels, resumed.labels)
    ours, theirs = (_checkpoint(root)["networks"] for root in (tmp_path, tmp_path / "b"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def _checkpoint(root: Path) -> dict:
    path = root / NAME / "version_0" / "checkpoints" / "last.ckpt"
    return torch.load(path, weights_only=True)["distiller"]


@pytest.mark.slow
def test_compiled_equals_eager(fit, product):
    torch.set_default_dtype(torch.float32)
    assert fit("--trainer.max_steps", "2", config=CONF) == 0
    assert fit("--trainer.max_steps", "2", "--model.compile", "true", config=CONF) == 0
    torch.testing.assert_close(product(1, NAME).images, product(0, NAME).images, atol=1e-5, rtol=0)


def test_bf16_stays_close():
    """Only the real features are in bf16; LAMB's first step keeps the signs alone, so gradients are compared."""
    torch.set_default_dtype(torch.float32)
    module = _module().float()
    gradients = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = objective(module, _batch(module))
            gradients.append(torch.cat([part.flatten() for part in _gradients(module, loss)]))
    assert torch.cosine_similarity(*gradients, dim=0) > 0.999


@pytest.mark.slow
def test_beats_random_real_images(fit, product):
    torch.set_default_dtype(torch.float32)
    options = "--trainer.max_steps 400 --model.lr 0.01 --model.real_batch 256 --model.max_age 20"
    widths = "--model.network.width 32 --evaluation.network.width 32"
    evaluation = "--evaluation.enabled true --evaluation.num_networks 3 --evaluation.epochs 1000"
    assert fit(*options.split(), *widths.split(), *evaluation.split(), config=CONF) == 0
    last = product(name=NAME).info["evaluations"][-1]
    assert last["protocol"] == "frepo"
    assert last["accuracy_mean"] > last["random_real_mean"] + 5
