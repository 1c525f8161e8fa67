"""RDED: crops, scores and tiles worked by hand, and the method through the command line."""

import json
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from lightning_dd.app.cli import main
from lightning_dd.augmentation.resized_crop import crop_boxes, draw_boxes
from lightning_dd.errors import UserError
from lightning_dd.evaluation.kd import teacher_of
from lightning_dd.methods import RDED
from lightning_dd.methods.rded import centered, tiled
from lightning_dd.networks import ConvNet, Torchvision, build
from lightning_dd.training.saved import SavedNetwork
from lightning_dd.training.sources import SourceContext

NAME = "rded_digits_ipc2"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    # one teacher for all tests
    monkeypatch.setenv("LIGHTNING_DD_CACHE", str(tmp_path_factory.getbasetemp() / "rded cache"))


@pytest.fixture
def rded_config(tmp_path):
    path = tmp_path / "rded.yaml"
    path.write_text(
        "model: {class_path: RDED, init_args: {ipc: 2, network_epochs: 8, network: {class_path: ConvNet, "
        "init_args: {width: 16, depth: 2, norm: batch}}}}\n"
        "data: {class_path: Digits}\n"
        "trainer: {max_steps: 1, enable_progress_bar: false, accelerator: cpu}\n"
        "evaluation: {enabled: false, num_networks: 2, epochs: 60}\n"
    )
    return path


class _Bright(torch.nn.Module):
    """A teacher that is the surer of class 0 the brighter an image is."""

    def forward(self, images):
        return torch.stack([images.sum((1, 2, 3)), torch.zeros(len(images))], 1)


class _Data:
    """Six images of class 0 and one of class 1, each of one brightness."""

    values = torch.tensor([0.1, 0.6, 0.3, 0.2, 0.5, 0.4, 0.9])
    train_labels = torch.tensor([0, 0, 0, 0, 0, 0, 1])

    def real_images(self, rows):
        return self.values[rows].view(-1, 1, 1, 1).expand(-1, 1, 4, 4).clone()


class _Source:
    context = SourceContext(ConvNet, (1, 4, 4), 2, 0)

    def at(self, iteration):
        return _Bright()


def _method(monkeypatch, **options):
    module = RDED(**{"ipc": 1, "num_classes": 2, "image_shape": (1, 4, 4), **options})
    monkeypatch.setattr(RDED, "networks", _Source())
    monkeypatch.setattr(RDED, "trainer", type("Trainer", (), {"datamodule": _Data()}))
    return module


def test_the_surest_crops_come_first(monkeypatch):
    best = _method(monkeypatch).best_crops(0, 3)
    torch.testing.assert_close(best[:, 0, 0, 0], torch.tensor([0.6, 0.5, 0.4]))
    assert best.shape == (3, 1, 4, 4)


def test_the_best_crop_of_an_image_is_the_one_of_the_least_loss(monkeypatch):
    module = _method(monkeypatch, crops=2)
    images = torch.zeros(2, 1, 4, 4)
    images[0, :, :2, :2], images[1, :, 2:, 2:] = 1, 2
    upper, lower = torch.tensor([0, 0, 2, 2]), torch.tensor([2, 2, 2, 2])
    crops, losses = module._best_of_each(images, torch.stack([upper, lower]).expand(2, 2, 4), 0)
    assert torch.equal(crops[0], torch.ones(1, 4, 4))
    assert torch.equal(crops[1], torch.full((1, 4, 4), 2.0))
    torch.testing.assert_close(losses, F.softplus(torch.tensor([-16.0, -32.0])))  # log(1 + exp(-sum))


def test_an_image_gives_several_crops_where_a_class_has_too_few(monkeypatch):
    module = _method(monkeypatch, factor=2)
    assert len(module.best_crops(1, 4)) == 4
    monkeypatch.setattr(_Data, "train_labels", torch.tensor([0, 0, 0, 0, 0, 0, 1]))
    assert module.best_crops(1, 4).shape == (4, 1, 2, 2)


def test_fewer_candidates_are_looked_at(monkeypatch):
    seen = set()
    for seed in range(20):
        seen |= {
            round(value, 1)
            for value in _method(monkeypatch, candidates=1, seed=seed).best_crops(0, 1).amax((1, 2, 3)).tolist()
        }
    assert len(seen) > 3  # one image at random, whatever its score


def test_the_first_crops_are_the_upper_left_tiles():
    crops = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 1, 2, 3)
    images = tiled(crops, 2, (4, 6))
    assert images.shape == (2, 1, 4, 6)
    assert images[:, 0, 0, 0].tolist() == [0, 1]  # upper left
    assert images[:, 0, 0, 5].tolist() == [2, 3]
    assert images[:, 0, 3, 0].tolist() == [4, 5]
    assert images[:, 0, 3, 5].tolist() == [6, 7]
    assert tiled(crops, 2, (5, 7)).shape == (2, 1, 5, 7)
    assert torch.equal(tiled(crops, 1, (2, 3)), crops)


def test_crops_are_in_the_middle_of_nothing():
    image = centered(torch.ones(1, 1, 2, 2), (5, 4))[0, 0]
    assert image.sum() == 4
    assert image[1:3, 1:3].sum() == 4


def test_boxes_lie_within_the_image_and_have_the_asked_area_and_shape():
    boxes = draw_boxes(2000, (60, 90), (0.08, 1.0), (1.5, 1.5), torch.Generator().manual_seed(0))
    top, left, height, width = boxes.unbind(1)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 60).all()
    assert (left + width <= 90).all()
    torch.testing.assert_close(width / height, torch.full((2000,), 1.5), atol=0.1, rtol=0)
    share = height * width / 5400
    assert 0.07 < share.min() < 0.1
    assert 0.52 < share.mean() < 0.56
    whole = draw_boxes(3, (4, 8), (1.0, 1.0), (1.0, 1.0), torch.Generator().manual_seed(0))
    assert whole[:, 2:].tolist() == [[4, 4]] * 3  # no square has the area: the largest one


def test_a_box_is_enlarged():
    images = torch.arange(16.0).view(1, 1, 4, 4)
    (part,) = crop_boxes(images, torch.tensor([[1, 1, 2, 2]]), (2, 2))
    assert part.tolist() == [[[5, 6], [9, 10]]]
    assert crop_boxes(images, torch.tensor([[0, 0, 4, 4]]), (2, 2)).mean().item() == pytest.approx(7.5)


def test_small_images_are_crops_and_large_ones_four():
    assert RDED(1, image_shape=(3, 64, 64)).factor == 1
    assert RDED(1, image_shape=(3, 128, 128)).factor == 2


def test_learns_more_than_chance_from_a_teacher_whose_accuracy_is_told(fit, product, rded_config, tmp_path, capsys):
    assert fit("--evaluation.enabled", "true", config=rded_config) == 0
    said = capsys.readouterr().out
    distilled = product(name=NAME)
    record = json.loads((tmp_path / NAME / "version_0" / "results.json").read_text())
    (evaluation,) = record["evaluations"]
    assert evaluation["protocol"] == "kd"
    assert evaluation["accuracy_mean"] > 40
    assert evaluation["random_real_mean"] > 30
    right = record["resolved"]["teacher_accuracy"]
    assert record["resolved"]["teacher_split"] == "test"
    assert right > 70
    assert f"{right:.1f} % of the test images right" in " ".join(said.split())  # lines are as wide as the terminal
    assert distilled.recipe["teacher"]["accuracy"] == right
    assert distilled.labels.tolist() == [label for label in range(10) for _ in range(2)]
    assert record["cost"]["seconds_before"] > 0


def test_the_set_brings_its_teacher(fit, product, rded_config, tmp_path):
    from lightning_dd.data import Digits

    assert fit(config=rded_config) == 0
    distilled = product(name=NAME)
    data = Digits()
    data.setup()
    right = (teacher_of(distilled)(data.preprocessing(data.test_images)).argmax(1) == data.test_labels).float().mean()
    assert 100 * right.item() == pytest.approx(distilled.recipe["teacher"]["accuracy"], abs=0.01)
    assert distilled.evaluate(data.split("test"), distilled.train(epochs=60)) > 40
    assert teacher_of(distilled.select(["3", "5"])) is not None


def test_one_seed_is_one_set(fit, product, rded_config, tmp_path):
    for root, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        assert fit("--seed_everything", seed, config=rded_config, root=tmp_path / root) == 0
    first, again, other = (product(name=NAME, root=tmp_path / root) for root in "abc")
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)


def test_a_checkpoint_is_tested_under_its_teacher(fit, product, rded_config, tmp_path):
    assert fit(config=rded_config) == 0
    before = product(name=NAME).images
    assert fit("--ckpt_path", "last", config=rded_config) == 0
    assert torch.equal(product(name=NAME).images, before)
    options = ["--evaluation.enabled", "true", "--evaluation.epochs", "2", "--evaluation.num_networks", "1"]
    options += ["--trainer.default_root_dir", str(tmp_path), "--ckpt_path", "last"]
    assert main(["test", "--config", str(rded_config), *options]) == 0
    (path,) = tmp_path.glob(f"{NAME}/version_0/test_results.json")
    assert json.loads(path.read_text())[0]["evaluations"][0]["protocol"] == "kd"


def test_soft_labels_are_stored_and_random_real_images_have_the_same_teacher_s(fit, product, rded_config, tmp_path):
    options = ["--model.labels", "soft", "--evaluation.enabled", "true", "--evaluation.epochs", "150"]
    options += ["--evaluation.num_networks", "1"]
    assert fit(*options, config=rded_config) == 0
    distilled = product(name=NAME)
    assert distilled.label_kind == "logits"
    assert distilled.stored["labels"] == 200
    with torch.no_grad():
        torch.testing.assert_close(distilled.labels, teacher_of(distilled)(distilled.prepared), atol=1e-4, rtol=1e-4)
    (record,) = distilled.info["evaluations"]
    assert record["protocol"] == "common_soft"
    assert record["accuracy_mean"] > 15
    assert record["random_real_mean"] > 15


def test_hard_labels(fit, product, rded_config):
    assert fit("--model.labels", "hard", config=rded_config) == 0
    assert product(name=NAME).recipe["protocol"] == "common"


def test_four_crops_make_an_image(fit, product, rded_config):
    assert fit("--model.factor", "2", config=rded_config) == 0
    distilled = product(name=NAME)
    assert distilled.image_shape == (1, 8, 8)
    assert len(distilled) == 20
    assert distilled.recipe["factor"] == 2


def test_whitened_images_are_refused(fit, rded_config, capsys):
    assert fit("--data.zca", "mtt", config=rded_config) == 1
    assert "leave --data.zca out" in capsys.readouterr().err


def test_the_teacher_may_be_read_from_a_file(fit, product, rded_config, tmp_path):
    teacher = build(
        lambda shape, classes: ConvNet(shape, classes, 16, 2, norm="batch"),
        (1, 8, 8),
        10,
        torch.Generator().manual_seed(3),
    )
    torch.save(teacher.state_dict(), tmp_path / "teacher.pt")
    assert fit("--model.weights", str(tmp_path / "teacher.pt"), config=rded_config) == 0
    assert torch.equal(product(name=NAME).tensors["teacher.classifier.weight"], teacher.classifier.weight)
    half = {name: tensor.bfloat16() for name, tensor in teacher.state_dict().items()}
    torch.save(half, tmp_path / "half.pt")
    double = ("--trainer.precision", "64-true", "--model.weights", str(tmp_path / "half.pt"))
    assert fit(*double, config=rded_config) == 0


@pytest.mark.parametrize("content", [{"classifier.weight": torch.zeros(1)}, {"epoch": 3}, "text"])
def test_weights_of_another_network_are_refused(content, fit, rded_config, tmp_path, capsys):
    torch.save(content, tmp_path / "teacher.pt")
    assert fit("--model.weights", str(tmp_path / "teacher.pt"), config=rded_config) == 1
    assert "teacher.pt" in capsys.readouterr().err


def test_weights_as_torchvision_writes_them(tmp_path):
    from torchvision import models

    theirs = models.mobilenet_v3_small
    model = theirs(weights=None, num_classes=4).eval()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    source = SavedNetwork(str(tmp_path / "weights.pt"))
    source.setup(
        SourceContext(lambda shape, classes: Torchvision(shape, classes, "mobilenet_v3_small"), (3, 32, 32), 4, 0)
    )
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(source.at(0)(images), model(images))
    source.at(1).train()(torch.rand(8, 3, 32, 32))  # moves the statistics of batch normalization
    torch.testing.assert_close(source.at(2)(images), model(images))


def test_the_set_is_compared_under_its_teacher_and_with_hard_and_soft_labels(fit, rded_config, tmp_path):
    from lightning_dd.app.commands.evaluate import main as evaluate

    assert fit(config=rded_config) == 0
    shared = ["--num_networks", "1", "--networks", "ConvNet:width=8,depth=2,norm=batch", "--epochs", "2"]
    command = [str(tmp_path / NAME / "version_0"), *shared, "--out", str(tmp_path / "table")]

    def rows(*options):
        assert evaluate([*command, *options]) == 0
        cells = json.loads((tmp_path / "table" / "evaluation.json").read_text())["cells"]
        return [(cell["set"], cell["labels"]) for cell in cells]

    assert rows("--protocol", "kd") == [("RDED", "kd"), ("random real", "kd")]
    own = [("RDED", "hard"), ("random real", "hard")]
    assert rows("--soft_labels") == [
        *own,
        ("random real, a network's labels", "soft"),
        ("RDED, a network's labels", "soft"),
    ]
    with pytest.raises(UserError, match="no meaning under protocol kd"):
        evaluate([*command, "--protocol", "kd", "--soft_labels"])


@pytest.mark.slow
@pytest.mark.ddp
def test_two_processes_make_what_one_makes(fit, product, rded_config, tmp_path):
    options = ["--evaluation.enabled", "true", "--evaluation.epochs", "5"]
    assert fit(*options, config=rded_config, root=tmp_path / "one") == 0
    several = [
        "--trainer.devices",
        "2",
        "--trainer.strategy",
        "ddp",
        "--trainer.default_root_dir",
        str(tmp_path / "two"),
    ]
    command = [sys.executable, "-m", "lightning_dd", "fit", "--config", str(rded_config), *options, *several]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    one, two = (product(name=NAME, root=tmp_path / root) for root in ("one", "two"))
    assert torch.equal(one.images, two.images)
    assert one.info["evaluations"][0]["accuracies"] == two.info["evaluations"][0]["accuracies"]
