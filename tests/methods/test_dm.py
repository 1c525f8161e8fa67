"""DM: its loss against the formula, its options, and a run that beats random real images."""

import functools

import pytest
import torch

from lightning_dd.augmentation import DSA
from lightning_dd.data.sampling import Batch
from lightning_dd.errors import UserError
from lightning_dd.methods import DM
from lightning_dd.networks import ConvNet, build
from lightning_dd.rng import generator
from tests.methods.steps import assert_same, objective, ready
from tools.reference import dm

SHAPE = (2, 8, 10)
STRATEGY = "color_crop_cutout_flip_scale_rotate"


def _module(ipc: int = 2, norm: str = "instance", classes: int = 3, **options) -> DM:
    network = functools.partial(ConvNet, width=4, depth=2, norm=norm)
    module = DM(ipc, network=network, num_classes=classes, image_shape=SHAPE, seed=7, real_per_class=5, **options)
    with torch.no_grad():
        module.synthetic.codec.images.copy_(
            torch.randn(module.synthetic.codec.images.shape, generator=generator(0, "test"))
        )
    return ready(module).double()


def _batch(module: DM, classes: list[int] | None = None) -> Batch:
    chosen = torch.tensor(classes if classes is not None else range(module.num_classes))
    real = torch.randn(module.num_classes, 5, *SHAPE, generator=generator(1, "test"), dtype=torch.float64)
    return Batch(module.iteration, chosen, real[chosen], chosen[:, None].expand(-1, 5))


def _naive_loss(module: DM, batch: Batch) -> torch.Tensor:
    network = build(module.network, SHAPE, module.num_classes, generator(7, "network", module.iteration)).double()
    draw = DSA(STRATEGY).draw(module.num_classes, generator(7, "augmentation", module.iteration), SHAPE[1:])

    def augment(label: int, images: torch.Tensor) -> torch.Tensor:
        return DSA(STRATEGY).apply(draw[[label]], images[None])[0] if module.augmentation else images

    synthetic = module.synthetic.of_classes(batch.classes)
    pairs = enumerate(zip(batch.images, synthetic, strict=True))
    return sum(dm.losses(network.features, ([augment(label, images) for images in pair] for label, pair in pairs)))


@pytest.mark.parametrize("augmentation", [None, STRATEGY])
@pytest.mark.parametrize("ipc", [1, 2])
def test_loss_is_the_formula(augmentation, ipc):
    module = _module(ipc, augmentation=augmentation)
    network = build(module.network, SHAPE, 3, generator(7, "network", 0)).double()
    module.networks.at = lambda iteration: network
    batch = _batch(module)
    assert_same(objective(module, batch), _naive_loss(module, batch), module)


def test_no_more_real_images_than_a_chunk_are_in_one_forward():
    module, seen = _module(real_chunk=3), []
    network = build(module.network, SHAPE, 3, generator(7, "network", 0)).double()
    module.networks.at = lambda iteration: network
    network.blocks[0].register_forward_pre_hook(lambda _, given: seen.append((torch.is_grad_enabled(), len(given[0]))))
    objective(module, _batch(module))
    assert max(count for learned, count in seen if not learned) == 3


def _gradient(module: DM, batch: Batch) -> torch.Tensor:
    network = build(module.network, SHAPE, 3, generator(7, "network", 0)).double()
    module.networks.at = lambda iteration: network.train()
    return torch.autograd.grad(objective(module, batch), module.synthetic.codec.images)[0]


@pytest.mark.parametrize("chunk", [1, 3, 5, 10, 100])
def test_chunks_change_nothing(chunk):
    whole, parts = _module(augmentation=STRATEGY), _module(augmentation=STRATEGY, real_chunk=chunk)
    torch.testing.assert_close(_gradient(parts, _batch(parts)), _gradient(whole, _batch(whole)))


def test_chunks_are_refused_for_batch_normalization():
    module = _module(norm="batch", real_chunk=5)
    with pytest.raises(UserError, match="batch normalization"):
        _gradient(module, _batch(module))


def test_batch_normalization_sees_all_classes_or_refuses():
    module = _module(norm="batch", augmentation=None)
    assert _gradient(module, _batch(module)).any()
    with pytest.raises(UserError, match=r"trainer.devices must be 1"):
        _gradient(module, _batch(module, [0]))  # the share of one of several processes


def test_shares_of_classes_add_up():
    module = _module(augmentation=STRATEGY)
    whole = _gradient(module, _batch(module))
    shares = [_gradient(module, _batch(module, classes)) for classes in ([0, 2], [1])]
    torch.testing.assert_close(sum(shares), whole)
    assert not shares[1][:2].any()  # class 0 gets nothing from the share of class 1


def test_no_share_is_zero():
    module = _module()
    empty = Batch(0, torch.tensor([], dtype=torch.long), torch.zeros(0, 5, *SHAPE), torch.zeros(0, 5))
    assert not _gradient(module, empty).any()


def test_draws_depend_on_the_iteration_alone():
    module = _module(augmentation=STRATEGY)
    networks = []
    for iteration in (0, 5, 0):
        networks.append([p.clone() for p in module.networks.at(iteration).parameters()])
    assert all(torch.equal(a, b) for a, b in zip(networks[0], networks[2], strict=True))
    assert not torch.equal(networks[0][0], networks[1][0])


def test_networks_are_no_part_of_the_module():
    module = _module()
    _gradient(module, _batch(module))
    assert [name for name, _ in module.named_parameters()] == ["synthetic.codec.images"]
    assert [name for name, _ in module.named_children()] == ["synthetic"]


def test_a_network_without_features_is_refused():
    module = ready(DM(1, network=lambda shape, classes: torch.nn.Flatten(), num_classes=3, image_shape=SHAPE))
    with pytest.raises(UserError, match="features"):
        objective(module, Batch(0, torch.arange(3), torch.zeros(3, 5, *SHAPE), torch.zeros(3, 5)))


@pytest.mark.slow
def test_beats_random_real_images(fit, product):
    options = "--trainer.max_steps 200 --model.real_per_class 64 --model.network.width 32 --evaluation.enabled true"
    assert fit(*options.split(), "--evaluation.num_networks", "3", "--evaluation.epochs", "200") == 0
    last = product().info["evaluations"][-1]
    assert last["accuracy_mean"] > last["random_real_mean"] + 5


def test_compiled_equals_eager(fit, product):
    assert fit("--trainer.max_steps", "2") == 0
    assert fit("--trainer.max_steps", "2", "--model.compile", "true") == 0
    torch.testing.assert_close(product(1).images, product(0).images, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_bf16_stays_close(fit, product):
    assert fit("--trainer.max_steps", "1", "--model.lr", "1e-9") == 0
    assert fit("--trainer.max_steps", "1") == 0
    assert fit("--trainer.max_steps", "1", "--trainer.precision", "bf16-mixed") == 0
    start, full, half = (product(version).images for version in range(3))
    updates = (full - start).flatten(), (half - start).flatten()
    assert torch.cosine_similarity(*updates, dim=0) > 0.99


def test_nothing_of_a_step_that_is_not_finite_is_kept_where_looks_are_rare(fit, product, tmp_path, monkeypatch):
    """As on a GPU, where only every tenth step is looked at."""
    objective = DM.objective

    def spoiled(self, *given):
        self.finite_check_interval = 3
        return objective(self, *given) * (float("nan") if self.iteration == 4 else 1.0)

    monkeypatch.setattr(DM, "objective", spoiled)
    average = ("--model.ema", "0.5", "--checkpoint.every_n_steps", "1")
    assert fit("--trainer.max_steps", "9", *average) == 1
    assert product().images.isfinite().all()
    checkpoint = torch.load(*tmp_path.glob("*/version_0/checkpoints/last.ckpt"), weights_only=True)
    (state,) = checkpoint["optimizer_states"][0]["state"].values()
    assert state["momentum_buffer"].isfinite().all()
    assert checkpoint["distiller"]["average"].isfinite().all()


@pytest.mark.parametrize("kept_before", [False, True])
def test_a_bad_step_between_looks_is_not_written(kept_before, fit, product, tmp_path, monkeypatch):
    """Neither after the last look of a run nor before the first of a resumed one."""
    if kept_before:
        assert fit("--trainer.max_steps", "4") == 0
    monkeypatch.setattr(DM, "finite_check_interval", property(lambda _: 100, lambda *_: None))
    objective = DM.objective
    spoiled = lambda self, *given: objective(self, *given) * (float("nan") if self.iteration == 5 else 1.0)  # noqa: E731
    monkeypatch.setattr(DM, "objective", spoiled)
    resumed = ("--ckpt_path", "last") if kept_before else ()
    assert fit("--trainer.max_steps", "7", *resumed) == 1
    assert product().images.isfinite().all()
    checkpoint = torch.load(*tmp_path.glob("*/version_0/checkpoints/last.ckpt"), weights_only=True)
    assert checkpoint["state_dict"]["synthetic.codec.images"].isfinite().all()


def test_each_gradient_is_clipped_for_itself(fit, tmp_path):
    from lightning_dd.methods import MTT

    module = MTT(ipc=1, experts="none", clip=0.5, image_shape=(1, 8, 8), num_classes=10)
    for parameter, value in ((module.synthetic.codec.images, 0.01), (module.raw_step_size, 100.0)):
        parameter.grad = torch.full_like(parameter, value)
    module.limit_gradients(None)
    assert module.raw_step_size.grad.abs() == pytest.approx(0.5, rel=1e-4)
    assert (module.synthetic.codec.images.grad == 0.01).all()  # of norm 0.25: below


def test_other_options_run(fit, product):
    options = "--model.init noise --model.clip 0.1 --model.lr_decay 0.1 --model.network.norm batch --model.ipc 2"
    assert fit(*options.split()) == 0
    assert product(name="dm_digits_ipc2").images.isfinite().all()


def test_the_average_of_the_steps_is_what_is_written(fit, product, tmp_path):
    def images(name, *options):
        assert fit(*options, root=tmp_path / name) == 0
        return product(root=tmp_path / name, version=0).images

    one, two = (images(f"plain {steps}", "--trainer.max_steps", str(steps)) for steps in (1, 2))
    images("averaged", "--model.ema", "0.75", "--trainer.max_steps", "1")
    averaged = images("averaged", "--model.ema", "0.75", "--trainer.max_steps", "2", "--ckpt_path", "last")
    torch.testing.assert_close(averaged, 0.75 * one + 0.25 * two)
    assert not torch.equal(one, two)
