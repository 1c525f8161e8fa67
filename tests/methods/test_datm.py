"""DATM: its range of epochs, its labels, what it skips, and runs through the command line."""

from pathlib import Path

import pytest
import torch

from lightning_dd.app.cli import main
from lightning_dd.artifact.dataset import load
from lightning_dd.data import Digits
from lightning_dd.data.sampling import Batch
from lightning_dd.errors import OptionError
from lightning_dd.experts.labels import expert_logits, rows_that_experts_get_right
from lightning_dd.experts.trajectories import Trajectories
from lightning_dd.methods import DATM
from lightning_dd.rng import generator
from tests.methods.steps import Walk, objective
from tools.reference import mtt

CONF = Path(__file__).parents[1] / "conf"
BATCH = Batch(0, *[torch.tensor([])] * 3)


def _datm(matching, **options) -> DATM:
    module = matching(DATM, init="real", synthetic_steps=3, **options)
    with torch.no_grad():
        module.synthetic.labels.values.copy_(
            torch.randn(module.synthetic.labels.values.shape, generator=generator(1, "test"))
        )
    return module


def test_the_range_of_epochs_grows(matching):
    module = _datm(matching, min_start_epoch=1, first_max_start_epoch=2, max_start_epoch=12, expansion_steps=100)
    module.networks.trajectories = Walk(module.networks.flat.network, epochs=14)
    ends, segments = [], module.networks
    for iteration in (0, 9, 10, 50, 99, 100, 5000):
        ends.append(segments.upper_end(iteration))
        starts = [segments.segment(number, iteration).start for number in range(300)]
        epochs = {epoch for way in segments.trajectories.ways for start in starts for epoch in _where(way, start)}
        assert epochs == set(range(1, ends[-1]))
    assert ends == [2, 2, 3, 7, 11, 12, 12]
    assert _datm(matching, max_start_epoch=5).networks.upper_end(0) == 5


def _where(way: torch.Tensor, start: torch.Tensor) -> list[int]:
    return (way == start).all(1).nonzero().flatten().tolist()


def test_labels_are_learned_as_logits(matching):
    module = _datm(matching, augmentation=None)
    assert [name for name, _ in module.named_parameters()] == [
        "raw_step_size",
        "synthetic.codec.images",
        "synthetic.labels.values",
    ]
    ((_, start, target),) = module.networks.at(0)
    batches = [(module.synthetic.images(), module.synthetic.targets())] * 3
    naive = mtt.loss(module.networks.flat, start, target, batches, module.raw_step_size.expand(3))
    torch.testing.assert_close(objective(module, BATCH), naive)
    learned = list(module.parameters())
    found = torch.autograd.grad(objective(module, BATCH), learned)
    for ours, theirs in zip(found, torch.autograd.grad(naive, learned), strict=True):
        torch.testing.assert_close(ours, theirs)
    rates = {group["name"]: (group["lr"], group["momentum"]) for group in module.configure_optimizers().param_groups}
    assert rates == {"images": (100.0, 0.5), "step_size": (1e-5, 0.5), "labels": (10.0, 0.9)}


class _Told:
    """Experts whose logits are given, by a network that only adds its weights."""

    def __init__(self, *finals: torch.Tensor) -> None:
        self.finals = finals

    def __len__(self) -> int:
        return len(self.finals)

    def final(self, index: int) -> torch.Tensor:
        return self.finals[index]


def _adds(weights: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    return images.flatten(1) + weights


def test_labels_start_from_the_experts_that_are_right():
    images = torch.tensor([[3.0, 0.0], [0.0, 1.0], [2.0, 0.0]])[:, None, None]
    experts = _Told(torch.tensor([0.0, 0.0]), torch.tensor([0.0, 2.5]))
    logits = expert_logits(experts, _adds, images, torch.tensor([0, 1, 0]), torch.device("cpu"))
    # both are right about the first two, the second is wrong about the third
    torch.testing.assert_close(logits, torch.tensor([[3.0, 1.25], [0.0, 2.25], [2.0, 0.0]]))
    nobody = expert_logits(experts, _adds, images, torch.tensor([1, 0, 1]), torch.device("cpu"))
    torch.testing.assert_close(nobody[0], torch.tensor([3.0, 1.25]))  # the mean over all, not a division by zero
    first = expert_logits(experts, _adds, images, None, torch.device("cpu"))
    assert torch.equal(first, images.flatten(1))


def test_images_start_from_those_that_experts_get_right():
    labels = torch.tensor([0, 1] * 10)
    scores = torch.zeros(20, 1, 1, 2)
    scores[:6, 0, 0, 0] = 1.0  # the first expert says 0 here, and for the others too: the first class wins
    experts = _Told(torch.tensor([0.0, 0.5]), torch.tensor([9.0, 0.0]))

    def rows(ipc: int) -> list[int]:
        draws = torch.Generator().manual_seed(0)
        found = rows_that_experts_get_right(
            experts, _adds, lambda rows: scores[rows], labels, ipc, draws, torch.device("cpu")
        )
        assert (labels[found].view(2, ipc) == torch.tensor([[0], [1]])).all()
        assert len(set(found.tolist())) == 2 * min(ipc, 10)
        return found.tolist()

    assert set(rows(3)[:3]) == {0, 2, 4}  # right by the first expert
    assert set(rows(4)[:3]) == {0, 2, 4}  # and one by the second
    assert not set(rows(3)[3:]) & {1, 3, 5}
    assert len(rows(10)) == 20  # in the end whoever there is
    assert rows(12)[10:12] == rows(10)[:2]  # and again


def _fit(root: Path, experts: Path, *options: str) -> int:
    folders = ["--trainer.default_root_dir", str(root), "--model.experts", str(experts), "--model", "DATM"]
    return main(["fit", "--config", str(CONF / "mtt_digits.yaml"), *folders, *options])


def _product(root: Path):
    return load(root / "datm_digits_ipc2" / "version_0")


def test_images_may_be_repeated_where_a_class_has_too_few(experts, tmp_path, capsys):
    assert _fit(tmp_path, experts, "--model.ipc", "40", "--trainer.max_steps", "1") == 1
    assert "fewer than the 40 to start from: use --model.init noise" in capsys.readouterr().err
    assert (
        _fit(tmp_path, experts, "--model.ipc", "40", "--trainer.max_steps", "1", "--model.repeat_images", "true") == 0
    )


def test_resumed_equals_uninterrupted_and_the_artifact_has_the_labels(experts, tmp_path):
    options = ["--model.largest_loss", "null"]
    assert _fit(tmp_path / "a", experts, *options) == 0
    assert _fit(tmp_path / "b", experts, "--trainer.max_steps", "3", *options) == 0
    assert _fit(tmp_path / "b", experts, "--ckpt_path", "last", *options) == 0
    whole, resumed = _product(tmp_path / "a"), _product(tmp_path / "b")
    assert torch.equal(whole.images, resumed.images)
    assert torch.equal(whole.labels, resumed.labels)
    assert (whole.label_kind, whole.labels.shape) == ("logits", (20, 10))
    assert whole.recipe["protocol"] == "datm"


def test_a_step_with_a_large_loss_changes_nothing_but_counts(experts, tmp_path):
    assert _fit(tmp_path, experts, "--model.largest_loss", "0", "--evaluation.enabled", "true") == 0
    distilled = _product(tmp_path)
    assert distilled.info["steps"] == 6
    assert distilled.recipe["step_size"] == pytest.approx(0.1)
    assert distilled.info["evaluations"][-1]["protocol"] == "datm"
    data = Digits(held_out=0.8)
    data.setup()
    differences = (data.real_images(torch.arange(287)) - distilled.prepared[:, None]).flatten(2).abs().amax(2)
    assert (differences.amin(1) < 1e-5).all()  # still real images
    experts = Trajectories(experts)
    assert len(experts) == 2


@pytest.mark.parametrize("options", [{}, {"first_max_start_epoch": 2, "expansion_steps": 5}])
def test_the_first_epoch_is_below_the_last(matching, options):
    with pytest.raises(OptionError, match="min_start_epoch must be below"):
        _datm(matching, min_start_epoch=3, **options)


def test_options_that_go_together(matching):
    with pytest.raises(OptionError, match="give both, or neither"):
        _datm(matching, expansion_steps=5)
