"""Training as recorded gives the recorded accuracy; what cannot be trained so is said in a sentence."""

import functools
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.preprocessing import Normalization
from lightning_dd.data import Digits
from lightning_dd.errors import UserError
from lightning_dd.networks import MLP, ConvNet

CONF = Path(__file__).parents[1] / "conf"


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    data = Digits()
    data.setup()
    return data.split("test")


@pytest.mark.parametrize("method", ["dm", "dd", "frepo"])
def test_the_recorded_accuracy(method, fit, product, digits):
    """Under the method's own protocol, a protocol of the user's choice, and for another network than the method's."""
    chosen = {"dm": ["--evaluation.network", "MLP", "--evaluation.network.width", "8"]}.get(method, [])
    chosen += ["--evaluation.enabled", "true", "--evaluation.random_real", "false", "--trainer.max_steps", "1"]
    assert fit(*chosen, config=CONF / f"{method}_digits.yaml") == 0
    distilled = product(name=f"{method}_digits_ipc{2 if method == 'dd' else 1}")
    (record,) = distilled.info["evaluations"]
    network = distilled.train()  # the first of the recorded ones
    assert not network.training
    assert distilled.evaluate(digits, network) == pytest.approx(record["accuracies"][0], abs=1e-3)


def test_a_set_of_a_kernel_names_the_way_out(fit, product, digits):
    assert fit("--trainer.max_steps", "1", config=CONF / "kip_digits.yaml") == 0
    distilled = product(name="kip_digits_ipc1")
    for wanted in ({}, {"protocol": "krr"}):
        with pytest.raises(UserError, match=r'kernel, which trains no network: give protocol="common" to train one\.$'):
            distilled.train("MLP", **wanted)
    assert distilled.evaluate(digits, distilled.train("MLP:width=8", protocol="common", epochs=2)) > 0


def _sides(**changes) -> DistilledDataset:
    """Dark and bright images, without a record."""
    images = torch.cat([torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8)])
    labels = torch.tensor([0, 0, 1, 1])
    return DistilledDataset(images, labels, ("dark", "bright"), Normalization([0.5], [0.5]), **changes)


def test_networks_by_name_by_factory_and_as_they_are():
    small = functools.partial(ConvNet, width=4, depth=1)
    own = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    before = own[1].weight.clone()
    test = torch.tensor([0.1, 0.8]).view(2, 1, 1, 1).expand(2, 1, 8, 8), torch.arange(2)
    for network in ("ConvNet:width=4,depth=1", small, own):
        trained = _sides().train(network, "dc", epochs=2)
        assert _sides().evaluate(test, trained) == 100
    assert trained is own
    assert not torch.equal(own[1].weight, before)
    recorded = _sides(recipe={"network": MLP((1, 8, 8), 2, 8).made_from, "protocol": "dc"})
    assert recorded.train(epochs=1).description == "MLP (width 8)"


@pytest.mark.parametrize(
    ("changes", "network", "protocol", "words"),
    [
        ({}, None, None, "does not say how its network was made: give network"),
        ({"recipe": {"network": {"class_path": "mine.Net", "init_args": {}}}}, None, None, "mine.Net, is none of"),
        ({}, "ConvNot", None, "did you mean ConvNet"),
        ({}, "ConvNet", "commn", "no evaluation protocol 'commn'"),
        ({}, "ConvNet:depth=2", "dd", "use protocol common"),
    ],
)
def test_what_cannot_be_trained(changes, network, protocol, words):
    with pytest.raises(UserError, match=words) as caught:
        _sides(**changes).train(network, protocol, epochs=None)
    assert "evaluation." not in str(caught.value)


def test_test_images_are_matched_by_name_resized_and_checked():
    bright = torch.full((3, 3, 4, 4), 250, dtype=torch.uint8)
    always_bright = lambda images: torch.eye(2)[torch.ones(len(images), dtype=torch.long)]  # noqa: E731
    rows = [{"image": image, "label": "bright"} for image in bright]
    assert _sides().evaluate(rows, always_bright) == 100
    with pytest.raises(UserError, match="a class 'loud', which the distilled set does not know"):
        _sides().evaluate([{"image": bright[0], "label": "loud"}], always_bright)
    with pytest.raises(UserError, match="no folder nowhere: check the folder's path"):
        _sides().evaluate("nowhere", always_bright)
    with pytest.raises(UserError, match="label 7, and there are 2"):
        _sides().evaluate((bright, torch.full((3,), 7)), always_bright)


class Answers(nn.Module):
    """A network of the user's that is any function."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


def test_a_broken_test_image_is_named_with_advice_that_can_be_followed(tmp_path):
    always_dark = lambda images: torch.eye(2)[torch.zeros(len(images), dtype=torch.long)]  # noqa: E731
    for name in ("dark", "bright"):
        (tmp_path / name).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / name / "1.png")
    (tmp_path / "dark" / "2.png").write_bytes(b"none")
    with pytest.raises(UserError, match=r"2\.png cannot be read as an image \([^)]*\): remove it$"):
        _sides().evaluate(tmp_path, always_dark)
    data = {"class_path": "ImageFolder", "init_args": {"on_unreadable": "skip"}}
    assert _sides(info={"config": {"data": data}}).evaluate(tmp_path, always_dark) == 50


def test_a_network_in_another_precision():
    distilled = _sides()
    for precision in (torch.float64, torch.bfloat16):
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).to(precision)
        assert 0 <= distilled.evaluate((distilled.images, distilled.labels), network) <= 100


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(1)), r"gives \(1, 1\) for one image: the set needs \(1, 2\)"),
        (nn.Conv2d(1, 2, 1), r"gives \(1, 2, 1, 1\)|gives \(1, 2, "),
        (nn.Linear(999, 2), "does not take images of"),
        (Answers(lambda images: {"logits": images}), "gives a dict: a tensor of logits is needed"),
        (Answers(lambda images: int("x")), "does not take images of"),
    ],
)
def test_a_network_of_other_outputs_or_inputs_is_refused(network, words):
    distilled = _sides()
    images = distilled.images, distilled.labels
    for use in (
        lambda: distilled.train(network, protocol="common", epochs=1),
        lambda: distilled.evaluate(images, network),
    ):
        with pytest.raises(UserError, match=words):
            use()


@pytest.mark.parametrize("kind", ["ours", "plain"])
def test_a_network_goes_on_from_its_weights(kind):
    own = ConvNet((1, 8, 8), 2, width=4, depth=1) if kind == "ours" else nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.fill_(3.0)
    assert _sides().train(own, protocol="common", epochs=1) is own
    assert all((parameter - 3).abs().max() < 1 for parameter in own.parameters())


@pytest.mark.parametrize("outside", [torch.no_grad, torch.inference_mode])
def test_a_network_learns_where_no_gradients_are_kept(outside):
    with outside():
        network = _sides().train("ConvNet:width=4,depth=1", protocol="common", epochs=1)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_testing_leaves_each_part_of_a_network_in_its_mode():
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 2))
    network[1].eval()  # frozen
    distilled = _sides()
    distilled.evaluate((distilled.images, distilled.labels), network)
    assert [module.training for module in network] == [True, False, True]


def test_another_network_than_the_recorded_one_is_not_taken_for_it():
    made_from = ConvNet((1, 8, 8), 2, width=4, depth=1).made_from
    record = {"step": 1, "protocol": "common", "epochs": 1, "network": "Mine", "split": "test", "num_networks": 1}
    record |= {"accuracy_mean": 50.0, "accuracy_std": 0.0, "random_real_mean": None, "random_real_std": None}
    distilled = _sides(recipe={"network": made_from}, info={"evaluations": [record]})
    with pytest.raises(UserError, match="does not say how its network was made"):
        distilled.train()
    distilled.info["evaluations"][0]["network"] = "ConvNet (width 4, depth 1)"
    assert isinstance(distilled.train(), ConvNet)
