"""Coresets as a method and as the start of another, through the command line."""

import json

import pytest
import torch

from lightning_dd.data import Digits
from lightning_dd.errors import UserError
from lightning_dd.methods import Coreset

RULES = ("random", "herding", "k_center", "forgetting", "k_means")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_DD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def coreset_config(tmp_path):
    path = tmp_path / "coreset.yaml"
    path.write_text(
        "model: {class_path: Coreset, init_args: {ipc: 2, feature_epochs: 2, network: {class_path: ConvNet, "
        "init_args: {width: 8, depth: 2}}}}\n"
        "data: {class_path: Digits, init_args: {held_out: 0.5}}\n"
        "trainer: {max_steps: 1, enable_progress_bar: false, accelerator: cpu}\n"
        "evaluation: {enabled: false, num_networks: 1, epochs: 2}\n"
    )
    return path


def _training_images():
    data = Digits(held_out=0.5)
    data.setup()
    return data.train_images.float() / 255, data.train_labels


@pytest.mark.parametrize("rule", RULES)
def test_leaves_real_images_of_each_class(rule, fit, product, coreset_config):
    assert fit("--model.selection", rule, config=coreset_config) == 0
    distilled = product(name=f"coreset_digits_ipc2_{rule}")
    assert distilled.labels.tolist() == [label for label in range(10) for _ in range(2)]
    images, labels = _training_images()
    distances = (distilled.images[:, None] - images).abs().amax((2, 3, 4))
    assert distances.min(1).values.max() < 1e-5
    assert torch.equal(labels[distances.argmin(1)], distilled.labels)
    assert distilled.info["method"] == "Coreset"
    assert distilled.info["steps"] == 1


def test_is_evaluated_beside_random_real_images(fit, product, coreset_config):
    evaluation = ("--evaluation.enabled", "true", "--evaluation.split", "held_out")
    assert fit("--model.selection", "herding", *evaluation, config=coreset_config) == 0
    (record,) = product(name="coreset_digits_ipc2_herding").info["evaluations"]
    assert record["protocol"] == "dc"
    assert record["network"] == "ConvNet (width 8, depth 2)"
    assert record["random_real_mean"] is not None


@pytest.mark.parametrize("rule", RULES[1:])
def test_any_method_may_start_from_it(rule, fit, product, coreset_config):
    assert fit("--model.selection", rule, config=coreset_config) == 0
    options = "--model.feature_epochs 2 --model.network.depth 2 --model.ipc 2 --data.held_out 0.5 --model.lr 1e-20"
    assert fit("--model.init", rule, *options.split(), "--trainer.max_steps", "1") == 0
    start = product(name="dm_digits_ipc2")
    torch.testing.assert_close(start.images, product(name=f"coreset_digits_ipc2_{rule}").images)


def test_another_rule_s_run_is_not_gone_on_with(fit, coreset_config, tmp_path, capsys):
    assert fit("--model.selection", "random", config=coreset_config) == 0
    assert fit("--model.selection", "k_center", "--ckpt_path", "last", config=coreset_config) == 1
    assert "no checkpoint" in capsys.readouterr().err


def test_resumes_and_tests(fit, product, coreset_config, tmp_path, capsys):
    from lightning_dd.app.cli import main

    assert fit("--model.selection", "herding", config=coreset_config) == 0
    before = product(name="coreset_digits_ipc2_herding").images
    assert fit("--model.selection", "herding", "--ckpt_path", "last", config=coreset_config) == 0
    assert torch.equal(product(name="coreset_digits_ipc2_herding").images, before)
    options = ["--evaluation.enabled", "true", "--trainer.default_root_dir", str(tmp_path), "--ckpt_path", "last"]
    assert main(["test", "--config", str(coreset_config), "--model.selection", "herding", *options]) == 0
    (path,) = tmp_path.glob("coreset_digits_ipc2_herding/version_0/test_results.json")
    assert json.loads(path.read_text())[0]["evaluations"]


def test_too_few_images_are_refused_with_what_helps(fit, coreset_config, capsys):
    assert fit("--model.ipc", "1000", "--model.selection", "herding", config=coreset_config) == 1
    error = capsys.readouterr().err
    assert "fewer than the 1000 to start from: use --model.repeat_images true, or a smaller --model.ipc." in error
    assert "noise" not in error
    assert fit("--model.feature_epochs", "0", "--model.selection", "herding", config=coreset_config) == 1
    assert "--model.feature_epochs must be at least 1" in capsys.readouterr().err


def test_has_no_options_that_would_do_nothing():
    for option in ("lr", "ema"):
        with pytest.raises(UserError, match=f"{option} is no option of Coreset"):
            Coreset(1, **{option: 0.5})
    with pytest.raises(UserError, match="at least 1"):
        Coreset(0)


def test_unknown_rule(fit, coreset_config, capsys):
    assert fit("--model.selection", "herdin", config=coreset_config) == 1
    assert "random, herding, k_center, forgetting, k_means" in capsys.readouterr().err
