"""MTT: its loss against a naive training, its guards, and runs through the command line."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from lightning_dd.app.cli import main
from lightning_dd.artifact.dataset import load
from lightning_dd.augmentation import DSA
from lightning_dd.data.sampling import Batch
from lightning_dd.methods import MTT
from lightning_dd.rng import generator
from lightning_dd.unroll.batch_order import permuted_chunks
from tests.methods.steps import objective
from tools.reference import mtt

CONF = Path(__file__).parents[1] / "conf"
BATCH = Batch(0, *[torch.tensor([])] * 3)
STRATEGY = "color_crop_cutout_flip_scale_rotate"


def _gradients(module: MTT) -> list[torch.Tensor]:
    return list(torch.autograd.grad(objective(module, BATCH), list(module.parameters())))


def _naive_loss(module: MTT) -> torch.Tensor:
    """Experts take turns in a random order, and segments start at random epochs."""
    expert = torch.randperm(2, generator=generator(7, "experts", module.iteration // 2))[module.iteration % 2].item()
    epoch = torch.randint(3, (), generator=generator(7, "start epoch", module.iteration)).item()
    start, target = (module.networks.trajectories.weights(expert, at) for at in (epoch, epoch + 2))
    rows = permuted_chunks(len(module.synthetic), module.synthetic_batch, 3, generator(7, "order", module.iteration))
    if module.synthetic_batch == len(module.synthetic):
        rows = [torch.arange(len(module.synthetic))] * 3
    batches = [(module.synthetic.images(chosen), module.synthetic.targets(chosen)) for chosen in rows]
    if module.augmentation:
        draws = [generator(7, f"augmentation/{n}", module.iteration) for n in range(3)]
        batches = [(DSA(STRATEGY)(images, draw), labels) for (images, labels), draw in zip(batches, draws, strict=True)]
    return mtt.loss(module.networks.flat, start, target, batches, module.raw_step_size.expand(3))


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(("batch", "augmentation"), [(None, None), (4, None), (4, STRATEGY), (None, STRATEGY)])
def test_loss_and_gradients_are_those_of_a_naive_training(matching, recompute, batch, augmentation):
    module = matching(recompute=recompute, synthetic_batch=batch, augmentation=augmentation)
    for module.iteration in (0, 1, 5):
        naive = _naive_loss(module)
        torch.testing.assert_close(objective(module, BATCH), naive)
        expected = torch.autograd.grad(naive, list(module.parameters()))
        for ours, theirs in zip(_gradients(module), expected, strict=True):
            torch.testing.assert_close(ours, theirs)
    assert [name for name, _ in module.named_parameters()] == ["raw_step_size", "synthetic.codec.images"]


@pytest.mark.parametrize("log", [False, True])
def test_gradients_are_finite_differences(matching, log):
    # smooth, so that finite differences are right
    module = matching(ipc=1, activation="swish", synthetic_steps=2, log_step_size=log)
    names = [name for name, _ in module.named_parameters()]

    def loss(*tensors: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(module, dict(zip(names, tensors, strict=True)), (module, BATCH))

    module.forward = objective
    assert torch.autograd.gradcheck(loss, tuple(module.parameters()), eps=1e-6, atol=1e-7, rtol=1e-4, fast_mode=True)


def test_loss_is_exactly_one_without_a_step(matching):
    module = matching(augmentation=STRATEGY)
    module.raw_step_size.data.zero_()
    assert objective(module, BATCH).item() == 1


def test_an_expert_s_own_batches_bring_the_student_to_it(matching):
    """Real mini-batches in place of synthetic ones, in the order and with the draws of the expert."""
    module = matching(ipc=4, step_size=0.05, synthetic_batch=4, synthetic_steps=6, max_start_epoch=1)
    order = permuted_chunks(12, 4, 6, generator(7, "order", 0))
    start = module.networks.trajectories.weights(0, 0)
    weights, ways = start.clone().requires_grad_(), [start]
    for n in range(6):  # two epochs of three mini-batches
        loss = F.cross_entropy(
            module.networks.flat(weights, module.synthetic.codec.images[order[n]]),
            module.synthetic.labels.values[order[n]],
        )
        weights = (weights - 0.05 * torch.autograd.grad(loss, weights)[0]).detach().requires_grad_()
        if n % 3 == 2:
            ways.append(weights.detach())
    module.networks.trajectories.ways = torch.stack([torch.stack(ways)] * 2)
    assert objective(module, BATCH).item() < 1e-12


def test_each_pass_takes_every_expert_once_from_epochs_at_random(matching):
    module = matching()
    ways = module.networks.trajectories.ways.tolist()
    places = []
    for _, start, target in (module.networks.at(step)[0] for step in range(40)):
        expert = next(k for k in (0, 1) if start.tolist() in ways[k])
        epoch = ways[expert].index(start.tolist())
        assert ways[expert].index(target.tolist()) == epoch + 2
        places.append((expert, epoch))
    assert all({expert for expert, _ in places[at : at + 2]} == {0, 1} for at in range(0, 40, 2))
    assert {epoch for _, epoch in places} == {0, 1, 2}
    assert len({places[at][0] for at in range(0, 40, 2)}) == 2  # in a random order


def test_several_segments_are_averaged_and_shared_out(matching):
    module = matching(segments_per_step=3)
    whole, shares = _gradients(module), []
    for rank in range(4):  # one more than there are segments
        module.networks.context = module.source_context(rank=rank, world_size=4)
        shares.append(_gradients(module))
    for place, theirs in enumerate(whole):
        torch.testing.assert_close(sum(share[place] for share in shares), theirs)
        assert not shares[3][place].any()


def test_the_logarithm_starts_as_fast(matching):
    linear, logarithm = matching(step_size_lr=1e-6), matching(step_size_lr=1e-6, log_step_size=True)
    assert logarithm.step_size.item() == pytest.approx(0.1)
    moved = []
    for module in (linear, logarithm):
        before = module.step_size.item()
        optimizer = module.configure_optimizers()
        assert [group["name"] for group in optimizer.param_groups] == ["images", "step_size"]
        objective(module, BATCH).backward()
        optimizer.step()
        moved.append(module.step_size.item() - before)
    assert moved[1] == pytest.approx(moved[0], rel=0.01)


@pytest.fixture
def fit(experts, tmp_path):
    """Run MTT on the tiny experts."""

    def run(*options: str, root: Path = tmp_path) -> int:
        folders = ["--trainer.default_root_dir", str(root), "--model.experts", str(experts)]
        return main(["fit", "--config", str(CONF / "mtt_digits.yaml"), *folders, *options])

    return run


def _product(root: Path, name: str = "mtt_digits_ipc2"):
    return load(root / name / "version_0")


def test_resumed_equals_uninterrupted_and_the_artifact_has_the_step_size(fit, tmp_path):
    assert fit(root=tmp_path / "a") == 0
    assert fit("--trainer.max_steps", "3", root=tmp_path / "b") == 0
    assert fit("--ckpt_path", "last", root=tmp_path / "b") == 0
    whole, resumed = _product(tmp_path / "a"), _product(tmp_path / "b")
    assert torch.equal(whole.images, resumed.images)
    assert whole.recipe == resumed.recipe
    assert whole.recipe["protocol"] == "mtt"
    assert whole.recipe["step_size"] not in (0.1, pytest.approx(0.1, abs=1e-9))
    assert whole.info["steps"] == resumed.info["steps"] == 6


def test_the_record_counts_the_experts_apart(fit, experts, tmp_path):
    assert fit("--trainer.max_steps", "1") == 0
    theirs = json.loads((experts / "experts.json").read_text())["experts"]
    cost = _product(tmp_path).info["cost"]
    assert cost["seconds_before"] == pytest.approx(sum(expert["seconds"] for expert in theirs))
    # 2 experts, 3 epochs of 287 images; convolutions of 4 channels on 8 x 8 and 4 x 4, and the last layer on 2 x 2
    forward = 2 * (64 * 9 * 1 * 4 + 16 * 9 * 4 * 4 + 16 * 10)
    assert cost["operations_before"] == 2 * 3 * 287 * 3 * forward


def test_experts_of_older_versions_have_no_seconds(fit, experts, tmp_path):
    older = shutil.copytree(experts, tmp_path / "older")
    description = json.loads((older / "experts.json").read_text())
    del description["experts"][1]["seconds"]
    for part in ("image_shape", "class_names", "labels", "mean"):
        del description["data"][part]
    (older / "experts.json").write_text(json.dumps(description))
    assert fit("--trainer.max_steps", "1", "--model.experts", str(older)) == 0
    assert _product(tmp_path).info["cost"]["seconds_before"] is None


def test_recomputation_equals_the_full_graph(fit, tmp_path):
    for recompute in ("true", "false"):
        assert fit("--trainer.max_steps", "2", "--model.recompute", recompute, root=tmp_path / recompute) == 0
    ours, theirs = _product(tmp_path / "true").images, _product(tmp_path / "false").images
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_evaluation_trains_with_the_learned_step_size(fit, tmp_path):
    assert fit("--evaluation.enabled", "true", "--trainer.max_steps", "1") == 0
    (record,) = _product(tmp_path).info["evaluations"]
    assert record["protocol"] == "mtt"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--model.network.width 8", "ConvNet (width 4, depth 2), this run's is another (ConvNet (width 8, depth 2))"),
        ("--model.network.pooling max", "give the same --model.network"),
        ("--data.zca mtt --data.cache false", "(theirs: normalization, ours: whitening)"),
        ("--model.max_start_epoch 4", "have 3 epochs, and --model.max_start_epoch with --model.expert_epochs reaches"),
        ("--model.experts nowhere", "nowhere holds no finished experts"),
    ],
)
def test_experts_that_do_not_fit_are_one_sentence(options, words, fit, capsys, tmp_path):
    assert fit(*options.split()) == 1
    captured = capsys.readouterr()
    assert words in captured.err
    assert "Traceback" not in captured.err
    assert not list(tmp_path.rglob("*.ckpt"))


def test_damaged_experts_are_one_sentence(fit, experts, capsys):
    description = experts / "experts.json"
    text = description.read_text()
    try:
        description.write_text(json.dumps({**json.loads(text), "format_version": 99}))
        assert fit() == 1
        assert "install a newer release" in capsys.readouterr().err
        description.write_text("{")
        assert fit() == 1
        assert "does not describe experts" in capsys.readouterr().err
    finally:
        description.write_text(text)


def test_a_step_size_that_turns_negative_ends_the_run_with_what_was_before(fit, capsys, tmp_path):
    assert fit("--model.step_size_lr", "100", "--trainer.max_steps", "20", "--model.lr", "0.001") == 1
    error = capsys.readouterr().err
    assert "step size is not positive" in error
    assert "--model.log_step_size true" in error
    distilled = _product(tmp_path)
    assert distilled.recipe["step_size"] > 0
    assert distilled.images.isfinite().all()


@pytest.mark.parametrize(
    "options",
    [
        "--model.synthetic_batch 7",
        "--model.log_step_size true --model.segments_per_step 2 --model.clip 1",
        "--model.init noise --model.augmentation null --model.lr_decay 0.1 --trainer.precision bf16-mixed",
    ],
)
def test_other_options_run(options, fit, tmp_path):
    assert fit("--trainer.max_steps", "2", *options.split()) == 0
    assert _product(tmp_path).images.isfinite().all()


def test_whitened_data(fit, tmp_path):
    folders = ["--trainer.default_root_dir", str(tmp_path / "runs"), "--model.folder", str(tmp_path / "experts")]
    whitened = ["--data.zca", "mtt", "--data.cache", "false"]
    assert main(["fit", "--config", str(CONF / "experts_digits.yaml"), *folders, *whitened, "--model.number", "1"]) == 0
    assert fit("--trainer.max_steps", "1", *whitened, "--model.experts", str(tmp_path / "experts")) == 0
    assert fit("--trainer.max_steps", "1", "--model.experts", str(tmp_path / "experts")) == 1


@pytest.mark.slow
def test_beats_random_real_images(tmp_path):
    folders = ["--trainer.default_root_dir", str(tmp_path), "--model.network.width", "16", "--data.held_out", "0"]
    recorded = "--model.number 4 --model.epochs 12 --model.batch_size 64 --model.lr 0.05"
    config = ["fit", "--config", str(CONF / "experts_digits.yaml"), "--model.folder", str(tmp_path / "experts")]
    assert main([*config, *folders, *recorded.split()]) == 0
    options = (
        "--trainer.max_steps 300 --model.ipc 1 --model.synthetic_steps 15 --model.max_start_epoch 8 --model.lr 100"
    )
    config = ["fit", "--config", str(CONF / "mtt_digits.yaml"), "--model.experts", str(tmp_path / "experts")]
    evaluation = "--model.lr 100 --evaluation.enabled true --evaluation.epochs 200 --checkpoint.every_n_steps 100"
    assert main([*config, *folders, *options.split(), *evaluation.split()]) == 0
    record = _product(tmp_path, "mtt_digits_ipc1").info["evaluations"][-1]
    assert record["accuracy_mean"] > record["random_real_mean"] + 5


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("labels", "none", "images of other classes"),
        ("class_names", ["a"], "other classes"),
        ("image_shape", [1, 9, 9], "images of another size"),
        ("mean", [0.9], "images of the same number and name"),
    ],
)
def test_experts_of_other_images_of_that_name_are_refused(part, value, words, fit, experts, capsys, tmp_path):
    older = shutil.copytree(experts, tmp_path / "older")
    description = json.loads((older / "experts.json").read_text())
    description["data"][part] = value
    (older / "experts.json").write_text(json.dumps(description))
    assert fit("--trainer.max_steps", "1", "--model.experts", str(older)) == 1
    assert f"learned {words}; record some on these data" in capsys.readouterr().err


def test_experts_that_learned_the_held_out_images_are_refused(fit, tmp_path, capsys):
    folders = ["--trainer.default_root_dir", str(tmp_path / "runs"), "--model.folder", str(tmp_path / "experts")]
    shorter = ["--model.number", "1", "--data.held_out", "0.7"]
    assert main(["fit", "--config", str(CONF / "experts_digits.yaml"), *folders, *shorter]) == 0
    assert fit("--trainer.max_steps", "1", "--model.experts", str(tmp_path / "experts"), "--data.held_out", "0.8") == 1
    assert "training images, where this run has" in capsys.readouterr().err
