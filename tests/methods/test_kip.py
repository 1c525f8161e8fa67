"""KIP: its loss against the formula, the three kinds of labels, and runs."""

from pathlib import Path

import pytest
import torch

from lightning_dd.data.sampling import Batch
from lightning_dd.losses import fc_ntk
from lightning_dd.methods import KIP
from lightning_dd.rng import generator
from tests.methods.steps import objective, ready
from tools.reference import kip

SHAPE = (2, 4, 6)
CONF = Path(__file__).parents[1] / "conf" / "kip_digits.yaml"
NAME = "kip_digits_ipc1"


def _random(*shape, seed):
    return torch.randn(*shape, generator=generator(seed, "test"), dtype=torch.float64)


def _module(ipc: int = 2, **options) -> KIP:
    module = KIP(ipc, num_classes=3, image_shape=SHAPE, seed=7, **{"real_batch": 12, **options}).double()
    with torch.no_grad():
        module.synthetic.codec.images.copy_(_random(*module.synthetic.codec.images.shape, seed=0))
    return ready(module)


def _batch(classes: tuple[int, ...] = (0, 1, 2)) -> Batch:
    chosen = torch.tensor(classes, dtype=torch.long)
    return Batch(0, chosen, _random(3, 4, *SHAPE, seed=1)[chosen], chosen[:, None].expand(-1, 4))


def _naive_loss(module: KIP, batch: Batch) -> torch.Tensor:
    targets = torch.eye(3, dtype=torch.float64)[batch.labels.flatten()] - 1 / 3
    images, labels = module.synthetic.images(), module.synthetic.targets()
    return kip.loss(batch.images.flatten(0, 1), targets, images, labels, module.depth)


def _gradients(module: KIP, loss: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(loss, list(module.parameters()))


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("ipc", [1, 2])
def test_loss_is_the_formula(ipc, depth):
    module = _module(ipc, depth=depth, labels="learned")
    loss, expected = objective(module, _batch()), _naive_loss(module, _batch())
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(_gradients(module, loss), _gradients(module, expected), rtol=1e-5, atol=1e-9)


def test_gradients_where_the_images_are_still_real_ones():
    module, batch = _module(1), _batch()
    with torch.no_grad():
        module.synthetic.codec.images.copy_(batch.images[:, 0])
    assert _gradients(module, objective(module, batch))[0].isfinite().all()


@pytest.mark.parametrize("chunk", [1, 5, 100])
def test_chunks_change_nothing(chunk):
    whole, parts = _module(labels="learned"), _module(labels="learned", real_chunk=chunk)
    torch.testing.assert_close(
        _gradients(parts, objective(parts, _batch())), _gradients(whole, objective(whole, _batch()))
    )


def test_no_more_real_images_than_a_chunk_have_their_kernel_at_once(monkeypatch):
    seen = []

    def counted(one, *given, **options):
        seen.append(len(one))
        return fc_ntk(one, *given, **options)

    monkeypatch.setattr("lightning_dd.methods.kip.fc_ntk", counted)
    module = _module(real_chunk=5)
    objective(module, _batch())
    assert max(seen[1:]) == 5


def test_shares_of_classes_add_up():
    module = _module(labels="learned")
    shares = [_gradients(module, objective(module, _batch(classes))) for classes in ((0, 2), (1,), ())]
    torch.testing.assert_close(
        tuple(map(sum, zip(*shares, strict=True))), _gradients(module, objective(module, _batch()))
    )


@pytest.mark.parametrize(
    ("labels", "learned"),
    [("fixed", ["images"]), ("learned", ["images", "labels"])],
)
def test_what_is_learned(labels, learned):
    optimizer = _module(labels=labels).configure_optimizers()
    assert isinstance(optimizer, torch.optim.Adam)
    assert [group["name"] for group in optimizer.param_groups] == learned


def test_the_artifact_carries_labels_and_kernel(fit, product):
    assert fit(config=CONF) == 0
    distilled = product(name=NAME)
    assert distilled.label_kind == "targets"
    assert distilled.labels.shape == (10, 10)
    assert not torch.equal(distilled.labels, torch.eye(10) - 0.1)
    assert distilled.recipe["kernel"] == {"name": "fc_ntk", "depth": 1, "ridge": 1e-6}


def test_resumed_equals_uninterrupted(fit, product, tmp_path):
    assert fit(config=CONF) == 0
    assert fit("--trainer.max_steps", "3", config=CONF, root=tmp_path / "b") == 0
    assert fit("--ckpt_path", "last", config=CONF, root=tmp_path / "b") == 0
    whole, resumed = product(name=NAME), product(name=NAME, root=tmp_path / "b")
    assert torch.equal(whole.images, resumed.images)
    assert torch.equal(whole.labels, resumed.labels)


def test_labels_can_stay(fit, product):
    assert fit("--model.labels", "fixed", config=CONF) == 0
    assert product(name=NAME).label_kind == "targets"


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [None, 5])
def test_compiled_equals_eager(chunk):
    eager, compiled = (_module(labels="learned", real_chunk=chunk, compile=compile) for compile in (False, True))
    expected = _gradients(eager, objective(eager, _batch()))
    torch.testing.assert_close(_gradients(compiled, objective(compiled, _batch())), expected)


def test_low_precision_is_refused(fit, capsys):
    assert fit("--trainer.precision", "bf16-mixed", config=CONF) == 1
    assert "--trainer.precision must be 32-true or 64-true for KIP" in capsys.readouterr().err


@pytest.mark.slow
def test_learned_images_beat_real_ones_by_the_kernel(fit, product):
    options = "--trainer.max_steps 200 --model.real_batch 1000 --evaluation.enabled true --evaluation.protocol krr"
    options += " --evaluation.epochs null --evaluation.network null"
    assert fit(*options.split(), config=CONF) == 0
    last = product(name=NAME).info["evaluations"][-1]
    assert last["accuracy_mean"] > last["random_real_mean"] + 20
