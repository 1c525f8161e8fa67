"""Scoring by the kernel itself: protocol `krr`."""

from pathlib import Path

import pytest
import torch

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.preprocessing import Normalization
from lightning_dd.errors import UserError
from lightning_dd.evaluation import evaluate, find_protocol
from lightning_dd.evaluation.kernel import KernelRegression
from lightning_dd.losses import fc_ntk
from lightning_dd.rng import generator
from lightning_dd.training.loop import accuracy

CONF = Path(__file__).parents[1] / "conf" / "kip_digits.yaml"
KERNEL = {"name": "fc_ntk", "depth": 2, "ridge": 1e-3}


def _images(labels, seed, noise=0.3):
    centers = torch.rand(3, 1, 6, 6, generator=generator(0, "test"))
    return centers[labels] + noise * torch.randn(len(labels), 1, 6, 6, generator=generator(seed, "test"))


def _distilled(**recipe):
    labels = torch.arange(3)
    return DistilledDataset(
        images=_images(labels, 1, noise=0.0),
        labels=torch.eye(3) - 1 / 3,
        class_names=("a", "b", "c"),
        preprocessing=Normalization([0.5], [0.25]),
        label_kind="targets",
        recipe=recipe,
    )


def _test_set(preprocessing):
    labels = torch.arange(3).repeat(40)
    return preprocessing(_images(labels, 2)), labels


def _evaluate(distilled, networks=range(3)):
    def real(index):
        labels = torch.arange(3)
        return distilled.preprocessing(_images(labels, 10 + index)), labels

    protocol = find_protocol("krr")
    return evaluate(distilled, real, _test_set(distilled.preprocessing), None, protocol, networks, seed=0)


def test_is_the_formula():
    distilled = _distilled()
    images, labels = _test_set(distilled.preprocessing)
    ours = distilled.prepared.double()
    kernel = fc_ntk(ours, depth=2)
    ridge = 1e-3 * kernel.trace() / 3 * torch.eye(3)
    predictions = fc_ntk(images, ours, depth=2) @ torch.linalg.solve(kernel + ridge, distilled.labels.double())
    expected = 100 * (predictions.argmax(1) == labels).double().mean().item()
    regression = KernelRegression(distilled.prepared, distilled.labels, "fc_ntk", depth=2, ridge=1e-3)
    assert accuracy(regression, images, labels, chunk=50) == pytest.approx(expected)
    assert expected > 60  # chance is 33


def test_the_set_is_scored_once_and_random_real_images_each_time():
    result = _evaluate(_distilled(kernel=KERNEL))
    assert len(result.distilled) == 1
    assert len(result.random_real) == 3
    assert result.network == "fc_ntk (depth 2)"
    assert _evaluate(_distilled(kernel=KERNEL), networks=[1]).distilled == []  # another process has it


def test_a_set_without_a_kernel_is_refused():
    with pytest.raises(UserError, match="its own kernel"):
        _evaluate(_distilled())


def test_stands_in_the_record_under_its_own_name(fit, product):
    options = "--evaluation.enabled true --evaluation.protocol krr --evaluation.epochs null --evaluation.network null"
    assert fit(*options.split(), config=CONF) == 0
    last = product(name="kip_digits_ipc1").info["evaluations"][-1]
    assert last["protocol"] == "krr"
    assert last["network"] == "fc_ntk (depth 1)"
    assert last["num_networks"] == 1
