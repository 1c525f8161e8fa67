"""DD: its loss against a naive unrolled training, its options, and runs through the command line."""

import functools
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from lightning_dd.app.cli import main
from lightning_dd.artifact.dataset import load
from lightning_dd.data.sampling import Batch
from lightning_dd.errors import UserError
from lightning_dd.methods import DD, RaTBPTT
from lightning_dd.networks import ConvNet, build
from lightning_dd.rng import generator
from tests.methods.steps import objective, ready
from tools.reference import dd

SHAPE = (2, 8, 6)
CONF = Path(__file__).parents[1] / "conf" / "dd_digits.yaml"
NAME = "dd_digits_ipc2"


def _module(ipc: int = 2, method: type[DD] = DD, norm: str = "instance", **options) -> DD:
    network = functools.partial(ConvNet, width=3, depth=2, norm=norm)
    options = {"unroll": 3, "step_size": 0.1, "real_batch": 7, **options}
    module = method(ipc, network=network, num_classes=3, image_shape=SHAPE, seed=7, **options)
    with torch.no_grad():
        module.synthetic.codec.images.copy_(
            torch.randn(module.synthetic.codec.images.shape, generator=generator(0, "test"))
        )
    return ready(module).double()


def _batch(module: DD) -> Batch:
    images = torch.randn(7, *SHAPE, generator=generator(1, "test"), dtype=torch.float64)
    return Batch(module.iteration, torch.tensor([]), images, torch.arange(7) % 3)


def _gradients(module: DD) -> list[torch.Tensor]:
    return list(torch.autograd.grad(objective(module, _batch(module)), list(module.parameters())))


def _naive_loss(module: DD, batch: Batch) -> torch.Tensor:
    """Image p of each class at step t, p = t modulo IPC."""
    network = build(module.network, SHAPE, 3, generator(7, "network", module.iteration)).double()
    images, ipc, steps = module.synthetic.images(), module.ipc, range(module.schedule.steps)
    batches = [(images[[label * ipc + t % ipc for label in range(3)]], torch.arange(3)) for t in steps]
    call = functools.partial(torch.func.functional_call, network)
    sizes = F.softplus(module.raw_step_sizes)
    return dd.loss(call, dict(network.named_parameters()), batches, sizes, batch.images, batch.labels)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("ipc", [1, 2])
def test_loss_and_gradients_are_those_of_a_naive_training(recompute, ipc):
    module = _module(ipc, recompute=recompute)
    naive = _naive_loss(module, _batch(module))
    torch.testing.assert_close(objective(module, _batch(module)), naive)
    expected = torch.autograd.grad(naive, list(module.parameters()))
    assert [name for name, _ in module.named_parameters()] == ["raw_step_sizes", "synthetic.codec.images"]
    for ours, theirs in zip(_gradients(module), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_step_sizes_start_where_they_are_told_to():
    torch.testing.assert_close(_module(step_size=1000.0).step_sizes, torch.full((3,), 1000.0).double())
    for kind, shape in (("per_step", (3,)), ("scalar", ()), ("fixed", ())):
        module = _module(step_sizes=kind, step_size=0.02)
        assert module.raw_step_sizes.shape == shape
        torch.testing.assert_close(module.step_sizes, torch.full((3,), 0.02).double(), rtol=1e-5, atol=0)
    assert [name for name, _ in module.named_parameters()] == ["synthetic.codec.images"]


@pytest.mark.parametrize("chunk", [1, 2, 5, 7, 100])
def test_chunks_change_nothing(chunk):
    for ours, theirs in zip(_gradients(_module(real_chunk=chunk)), _gradients(_module()), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_chunks_are_refused_for_batch_normalization():
    module = _module(norm="batch", real_chunk=5)
    with pytest.raises(UserError, match="batch normalization"):
        objective(module, _batch(module))
    assert all(gradient.isfinite().all() for gradient in _gradients(_module(norm="batch")))


def test_several_networks_are_averaged_and_shared_out():
    module = _module(networks_per_step=3)
    whole = _gradients(module)
    shares = []
    for rank in range(4):  # one more than there are networks
        module.networks.context = module.source_context(rank=rank, world_size=4)
        shares.append(_gradients(module))
    for place, theirs in enumerate(whole):
        torch.testing.assert_close(sum(share[place] for share in shares), theirs)
        assert not shares[3][place].any()


def test_processes_share_the_real_batch_of_one_network():
    module = _module(augmentation="flip_rotate", real_augmentation="crop_flip")
    assert module.sampling.shared
    assert not _module(networks_per_step=2).sampling.shared
    whole, batch, shares = _gradients(module), _batch(module), []
    for rank in range(2):
        module.networks.context = module.source_context(rank=rank, world_size=2)
        part = batch._replace(images=batch.images[rank::2], labels=batch.labels[rank::2])
        shares.append(torch.autograd.grad(objective(module, part), list(module.parameters())))
    for place, theirs in enumerate(whole):
        torch.testing.assert_close(shares[0][place] + shares[1][place], theirs)


def test_initial_weights_are_fresh_or_fixed():
    def weights(module: DD, iteration: int) -> torch.Tensor:
        return module.networks.at(iteration)[0].clone()

    random, fixed = _module(), _module(fixed_weights=True)
    assert not torch.equal(weights(random, 0), weights(random, 1))
    assert torch.equal(weights(random, 1), weights(_module(), 1))
    assert torch.equal(weights(fixed, 0), weights(fixed, 1))
    assert torch.equal(weights(fixed, 0), weights(random, 0))


def test_only_the_window_learns():
    module = _module(unroll=9, window=2)
    module.iteration = 3
    sizes, _ = _gradients(module)
    window = module.schedule.differentiated(3, 1)
    assert sizes.nonzero().flatten().tolist() == list(window)


def test_random_mini_batches_are_drawn_anew_for_every_step():
    module = _module(shuffle=True, images_per_step=1, unroll=1)
    gradients = [_gradients(module)[1] for module.iteration in range(8)]
    learned = {tuple(gradient.flatten(1).any(1).tolist()) for gradient in gradients}
    assert len(learned) > 1
    assert all(sum(rows) == 3 for rows in learned)  # one image of each class


def test_ratbptt_keeps_the_gradient_near_its_average():
    module = _module(method=RaTBPTT, window=2, augmentation=None)
    norms = []
    for scale in (1.0, 100.0, 1.0):
        module.synthetic.codec.images.grad = (
            torch.full_like(module.synthetic.codec.images, scale) / module.synthetic.codec.images.numel() ** 0.5
        )
        module.limit_gradients(None)
        norms.append(module.synthetic.codec.images.grad.norm().item())
    averages = [1, 0.9 + 0.1 * 100, 0.9 * (0.9 + 0.1 * 100) + 0.1]  # of norms before they are clipped
    assert norms == pytest.approx([1, 2 * averages[1], 1])
    assert module.average_norm.item() == pytest.approx(averages[2])
    assert module.state_dict()["average_norm"] == module.average_norm  # so a checkpoint has it


def test_noise_of_unit_length():
    module = _module(init="unit_noise")
    with torch.no_grad():
        module.initialize(generator(7, "init"))
    torch.testing.assert_close(module.synthetic.images().flatten(1).norm(dim=1), torch.ones(6).double())


@pytest.mark.parametrize("options", [{"fixed_weights": True, "networks_per_step": 2}, {"classes_per_step": 2}])
def test_options_that_do_not_go_together(options):
    with pytest.raises(UserError, match=r"leave networks_per_step out|set shuffle"):
        _module(**options)


def _fit(root: Path, *options: str) -> int:
    return main(["fit", "--config", str(CONF), "--trainer.default_root_dir", str(root), *options])


def _product(root: Path, name: str = NAME):
    return load(root / name / "version_0")


def test_resumed_equals_uninterrupted_and_the_artifact_has_the_steps(tmp_path):
    assert _fit(tmp_path / "a") == 0
    assert _fit(tmp_path / "b", "--trainer.max_steps", "3") == 0
    assert _fit(tmp_path / "b", "--ckpt_path", "last") == 0
    whole, resumed = _product(tmp_path / "a"), _product(tmp_path / "b")
    assert torch.equal(whole.images, resumed.images)
    assert torch.equal(whole.tensors["step_sizes"], resumed.tensors["step_sizes"])
    assert whole.info["steps"] == resumed.info["steps"] == 6
    assert whole.tensors["step_sizes"].shape == (4,)
    assert whole.tensors["step_sizes"].unique().numel() > 1  # they were learned, each for itself
    assert whole.tensors["order"].tolist() == [[2 * label + t % 2 for label in range(10)] for t in range(4)]
    assert whole.recipe["inner"] == {"optimizer": "sgd", "momentum": 0.0}
    assert set(whole.tensors) == {"step_sizes", "order"}


def test_the_rate_is_halved(tmp_path):
    assert _fit(tmp_path, "--model.halve_every", "1", "--model.real_batch", "720", "--trainer.max_steps", "5") == 0
    checkpoint = torch.load(tmp_path / NAME / "version_0" / "checkpoints" / "last.ckpt", weights_only=True)
    groups = checkpoint["optimizer_states"][0]["param_groups"]
    assert [group["name"] for group in groups] == ["images", "step_sizes"]
    assert [group["lr"] for group in groups] == [0.01 / 4] * 2  # two steps a pass


def test_the_protocol_repeats_the_training_from_the_fixed_weights(tmp_path):
    options = ["--model.fixed_weights", "true", "--evaluation.enabled", "true"]
    assert _fit(tmp_path, *options) == 0
    distilled = _product(tmp_path)
    (record,) = distilled.info["evaluations"]
    assert record["accuracies"][0] == record["accuracies"][1]  # nothing about them is random
    assert (record["protocol"], record["random_real_protocol"], record["epochs"]) == ("dd", "dc", None)
    network = ConvNet((1, 8, 8), 10, width=4, depth=2)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(distilled.tensors[f"initial_weights.{name}"])
    for rows, size in zip(distilled.tensors["order"], distilled.tensors["step_sizes"], strict=True):
        loss = F.cross_entropy(network(distilled.prepared[rows]), distilled.labels[rows])
        for parameter, gradient in zip(
            network.parameters(), torch.autograd.grad(loss, list(network.parameters())), strict=True
        ):
            parameter.data -= size * gradient
    from lightning_dd.data import Digits

    data = Digits()
    data.setup()
    correct = network(data.preprocessing(data.test_images)).argmax(1) == data.test_labels
    assert 100 * correct.double().mean().item() == pytest.approx(record["accuracies"][0], abs=0.01)


@pytest.mark.slow
def test_beats_random_real_images(tmp_path):
    options = "--trainer.max_steps 120 --model.unroll 10 --model.lr 0.03 --model.ipc 1 --model.network.width 16"
    assert _fit(tmp_path, *options.split(), "--evaluation.enabled", "true") == 0
    record = _product(tmp_path, "dd_digits_ipc1").info["evaluations"][-1]
    assert record["accuracy_mean"] > record["random_real_mean"] + 5


def test_a_loss_that_is_not_finite_names_both_rates_and_keeps_the_last_finite_set(tmp_path, capsys):
    assert _fit(tmp_path, "--model.lr", "1e30", "--trainer.max_steps", "50") == 1
    error = capsys.readouterr().err
    assert "outer learning rate, now 1e+30" in error
    assert "inner step sizes started at 0.1" in error
    distilled = _product(tmp_path)
    assert distilled.images.isfinite().all()
    assert distilled.images.abs().max() < 100
    assert distilled.tensors["step_sizes"].isfinite().all()


@pytest.mark.parametrize(
    "options",
    [
        "--model RaTBPTT --model.window 2 --model.step_size 0.01",
        "--model.inner_momentum 0.9 --model.step_sizes scalar --model.images_per_step null",
        "--model.optimizer adam --model.networks_per_step 2",
        "--model.recompute false --model.augmentation crop_rotate --model.real_augmentation crop_flip",
        "--trainer.precision bf16-mixed --model.clip 1 --model.lr_decay 0.1",
    ],
)
def test_other_options_run(options, tmp_path):
    assert _fit(tmp_path, "--trainer.max_steps", "2", *options.split()) == 0
    name = "ratbptt_digits_ipc2" if "RaT" in options else NAME
    distilled = _product(tmp_path, name)
    assert distilled.images.isfinite().all()
    assert distilled.tensors["order"].shape == (4, distilled.tensors["order"].shape[1])


def test_precision_changes_nothing(tmp_path):
    for precision in ("32-true", "bf16-mixed"):
        assert _fit(tmp_path / precision, "--trainer.max_steps", "2", "--trainer.precision", precision) == 0
    assert torch.equal(_product(tmp_path / "32-true").images, _product(tmp_path / "bf16-mixed").images)
