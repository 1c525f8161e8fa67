"""KIP: its loss against the formula, the three kinds of labels, and runs."""

from pathlib import Path

import pytest
import torch

from lightning_dd.augmentation.kip import NUM_UNIFORMS, KIPAugmentation
from lightning_dd.data.sampling import Batch
from lightning_dd.errors import UserError
from lightning_dd.losses import fc_ntk
from lightning_dd.methods import KIP
from lightning_dd.rng import generator

SHAPE = (2, 4, 6)
CONF = Path(__file__).parents[1] / "conf" / "kip_digits.yaml"
NAME = "kip_digits_ipc1"


def _random(*shape, seed):
    return torch.randn(*shape, generator=generator(seed, "test"), dtype=torch.float64)


def _module(ipc: int = 2, **options) -> KIP:
    module = KIP(ipc, num_classes=3, image_shape=SHAPE, seed=7, **{"real_batch": 12, **options}).double()
    with torch.no_grad():
        module.images.copy_(_random(*module.images.shape, seed=0))
    return module


def _batch(classes: tuple[int, ...] = (0, 1, 2)) -> Batch:
    chosen = torch.tensor(classes, dtype=torch.long)
    return Batch(0, chosen, _random(3, 4, *SHAPE, seed=1)[chosen], chosen[:, None].expand(-1, 4))


def _naive_loss(module: KIP, batch: Batch) -> torch.Tensor:
    real, labels = batch.images.flatten(0, 1), batch.labels.flatten()
    kernel = fc_ntk(module.images, module.images, module.depth)
    ridge = 1e-6 * kernel.trace() / len(kernel)
    weights = torch.linalg.solve(kernel + ridge * torch.eye(len(kernel)), module.labels)
    predictions = fc_ntk(real, module.images, module.depth) @ weights
    return 0.5 * (predictions - (torch.eye(3, dtype=torch.float64)[labels] - 1 / 3)).square().mean()


def _gradients(module: KIP, loss: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(loss, list(module.parameters()))


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("ipc", [1, 2])
def test_loss_is_the_formula(ipc, depth):
    module = _module(ipc, depth=depth, labels="learned")
    loss, expected = module.loss(_batch()), _naive_loss(module, _batch())
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(_gradients(module, loss), _gradients(module, expected), rtol=1e-5, atol=1e-9)


def test_gradients_where_the_images_are_still_real_ones():
    module, batch = _module(1), _batch()
    with torch.no_grad():
        module.images.copy_(batch.images[:, 0])
    assert _gradients(module, module.loss(batch))[0].isfinite().all()


@pytest.mark.parametrize("chunk", [1, 5, 100])
def test_chunks_change_nothing(chunk):
    whole, parts = _module(labels="learned"), _module(labels="learned", real_chunk=chunk)
    torch.testing.assert_close(_gradients(parts, parts.loss(_batch())), _gradients(whole, whole.loss(_batch())))


@pytest.mark.parametrize("augmentation", [None, "rotate_shift_flip_channel"])
def test_shares_of_classes_add_up(augmentation):
    module = _module(labels="learned", target_augmentation=augmentation)
    shares = [_gradients(module, module.loss(_batch(classes))) for classes in ((0, 2), (1,), ())]
    torch.testing.assert_close(tuple(map(sum, zip(*shares, strict=True))), _gradients(module, module.loss(_batch())))


@pytest.mark.parametrize(("labels", "learned"), [("fixed", ["images"]), ("learned", ["images", "labels"])])
def test_what_is_learned(labels, learned):
    optimizer = _module(labels=labels).configure_optimizers()
    assert isinstance(optimizer, torch.optim.Adam)
    assert [group["name"] for group in optimizer.param_groups] == learned


def test_solved_labels_are_where_a_step_ends():
    module = _module(labels="solved")
    optimizer = module.configure_optimizers()
    assert [group["name"] for group in optimizer.param_groups] == ["labels"]
    before, images = module.loss(_batch()), module.images.clone()
    before.backward()
    optimizer.step()
    module.labels.grad = None
    after = module.loss(_batch())
    after.backward()
    assert after < before
    assert module.labels.grad.abs().max() < 1e-9  # the best labels are a fixed point
    (gradient,) = torch.autograd.grad(_naive_loss(module, _batch()), module.labels)
    assert gradient.abs().max() < 1e-7
    assert torch.equal(module.images, images)


def test_the_artefact_carries_labels_and_kernel(fit, product):
    assert fit(config=CONF) == 0
    distilled = product(name=NAME)
    assert distilled.label_kind == "targets"
    assert distilled.labels.shape == (10, 10)
    assert not torch.equal(distilled.labels, torch.eye(10) - 0.1)
    assert distilled.recipe["kernel"] == {"name": "fc_ntk", "depth": 1, "ridge": 1e-6}


def test_resumed_equals_uninterrupted(fit, product, tmp_path):
    options = ("--model.target_augmentation", "rotate_shift")
    assert fit(*options, config=CONF) == 0
    assert fit(*options, "--trainer.max_steps", "3", config=CONF, root=tmp_path / "b") == 0
    assert fit(*options, "--ckpt_path", "last", config=CONF, root=tmp_path / "b") == 0
    whole, resumed = product(name=NAME), product(name=NAME, root=tmp_path / "b")
    assert torch.equal(whole.images, resumed.images)
    assert torch.equal(whole.labels, resumed.labels)


@pytest.mark.parametrize("labels", ["fixed", "solved"])
def test_other_labels_run(labels, fit, product):
    assert fit("--model.labels", labels, config=CONF) == 0
    assert product(name=NAME).label_kind == "targets"


def test_the_convolutional_kernel_runs_and_scores(fit, product):
    options = "--model.kernel conv_ntk --model.depth 2 --model.real_batch 20 --model.real_chunk 7 --trainer.max_steps 1"
    evaluation = "--evaluation.enabled true --evaluation.protocol krr --evaluation.random_real false"
    evaluation += " --evaluation.epochs null --evaluation.network null"
    assert fit(*options.split(), *evaluation.split(), config=CONF) == 0
    last = product(name=NAME).info["evaluations"][-1]
    assert last["network"] == "conv_ntk (depth 2)"
    assert last["accuracy_mean"] > 30  # chance is 10


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [None, 5])
def test_compiled_equals_eager(chunk):
    eager, compiled = (_module(labels="learned", real_chunk=chunk, compile=compile) for compile in (False, True))
    expected = _gradients(eager, eager.loss(_batch()))
    torch.testing.assert_close(_gradients(compiled, compiled.loss(_batch())), expected)


def test_low_precision_is_refused(fit, capsys):
    assert fit("--trainer.precision", "bf16-mixed", config=CONF) == 1
    assert "KIP's kernel needs --trainer.precision 32-true or 64-true" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        {"real_batch": 9},
        {"real_chunk": 0},
        {"depth": 0},
        {"ridge": 0.0},
        {"labels": "guessed"},
        {"kernel": "rbf"},
        {"kernel": "conv_ntk", "depth": 6},
        {"target_augmentation": "blur"},
    ],
)
def test_options_out_of_range(options):
    with pytest.raises(UserError):
        KIP(1, **options)


def test_augmentation_of_nothing_changes_nothing():
    images, middle = _random(3, *SHAPE, seed=2), torch.full((3, NUM_UNIFORMS), 0.5, dtype=torch.float64)
    for strategy in ("rotate", "shift", "channel", "rotate_shift_channel"):
        torch.testing.assert_close(KIPAugmentation(strategy)(images, middle), images)


def test_augmentation_mirrors_each_image_as_drawn():
    images, uniforms = _random(2, *SHAPE, seed=2), torch.tensor([[0.5, 0.5, 0.5, 0.1, 0.5], [0.5, 0.5, 0.5, 0.9, 0.5]])
    augmented = KIPAugmentation("flip")(images, uniforms)
    torch.testing.assert_close(augmented, torch.stack([images[0].flip(-1), images[1]]))


def test_augmentation_shifts_by_a_tenth_of_the_side():
    ramp = torch.arange(20.0).expand(1, 1, 10, 20)
    shifted = KIPAugmentation("shift")(ramp, torch.tensor([[0.5, 0.5, 1.0, 0.5, 0.5]]))
    torch.testing.assert_close(shifted[0, 0, 0], (ramp[0, 0, 0] + 2).clamp(max=19))


def test_augmentation_rotates_in_pixels():
    """A spot right of the centre of a wide image moves along a circle, not an ellipse."""
    wide = torch.zeros(1, 1, 41, 81)
    wide[..., 20, 70] = 1
    turned = KIPAugmentation("rotate")(wide, torch.tensor([[1.0, 0.5, 0.5, 0.5, 0.5]]))[0, 0]
    rows, columns = torch.meshgrid(torch.arange(41.0) - 20, torch.arange(81.0) - 40, indexing="ij")
    place = [(turned * axis).sum() / turned.sum() for axis in (rows, columns)]
    torch.testing.assert_close(torch.hypot(*place), torch.tensor(30.0), atol=0.2, rtol=0)
    assert abs(place[0]) > 4


@pytest.mark.slow
def test_learned_images_beat_real_ones_by_the_kernel(fit, product):
    options = "--trainer.max_steps 200 --model.real_batch 1000 --evaluation.enabled true --evaluation.protocol krr"
    options += " --evaluation.epochs null --evaluation.network null"
    assert fit(*options.split(), config=CONF) == 0
    last = product(name=NAME).info["evaluations"][-1]
    assert last["accuracy_mean"] > last["random_real_mean"] + 20
