"""`distill` on any torch data set, by the code path of the command line."""

import functools
import subprocess
import sys

import numpy
import pytest
import torch
from torch.utils.data import TensorDataset

import lightning_dd as dd
from lightning_dd.artifact.codecs import Tiles
from lightning_dd.errors import UserError
from lightning_dd.networks import ConvNet
from lightning_dd.training.pretrained import PretrainedNetworks

SMALL = functools.partial(ConvNet, width=4, depth=2)


def _separable(count: int = 30) -> TensorDataset:
    """Two classes: bright on the left, bright on the right."""
    draw = torch.Generator().manual_seed(0)
    images = 0.3 * torch.rand(count, 1, 8, 8, generator=draw)
    labels = torch.arange(count) % 2
    images[labels == 0, :, :, :4] += 0.6
    images[labels == 1, :, :, 4:] += 0.6
    return TensorDataset(images, labels)


def _distill(tmp_path, **options):
    quiet = {"enable_progress_bar": False, "accelerator": "cpu"}
    options = {"ipc": 1, "steps": 3, "network": SMALL, "real_per_class": 4, "trainer": quiet, **options}
    return dd.distill(_separable(), root=tmp_path, **options)


def test_distill(tmp_path):
    evaluation = {"num_networks": 2, "epochs": 5}
    distilled = _distill(tmp_path, evaluation=evaluation, class_names=["left", "right"], name="sides")
    assert distilled.class_names == ("left", "right")
    assert distilled.images.shape == (2, 1, 8, 8)
    assert distilled.info["steps"] == 3
    assert len(distilled.info["evaluations"][0]["accuracies"]) == 2
    assert (tmp_path / "dm_sides_ipc1" / "version_0" / "results.json").is_file()


def test_says_what_is_tested_on(tmp_path, capsys):
    left = TensorDataset(*(tensor[::2] for tensor in _separable().tensors))
    options = {"evaluation": {"num_networks": 1, "epochs": 1}, "class_names": ["left", "right"]}
    with pytest.warns(UserWarning, match="no image of 1 class.*right"):
        distilled = _distill(tmp_path, test_dataset=left, steps=1, **options)
    assert distilled.info["evaluations"][0]["num_test_images"] == 15
    assert "test split of 15 images" in capsys.readouterr().out


def test_a_method_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="no method 'dmm'; did you mean dm"):
        _distill(tmp_path, method="dmm")
    with pytest.raises(UserError, match="no method 'x'; there are accdd, coreset, "):
        _distill(tmp_path, method="x")


def test_same_seed_same_images(tmp_path):
    first, second, other = (_distill(tmp_path, evaluation=False, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.images, second.images)
    assert not torch.equal(first.images, other.images)


def test_the_command_line_gives_the_same_images(fit, product, tmp_path):
    from sklearn.datasets import load_digits

    from lightning_dd.data import Digits

    data = Digits()
    data.setup()
    parts = [TensorDataset(*data.split(name)) for name in ("train", "test")]
    assert len(load_digits().target) == sum(map(len, parts))
    strategy = "color_crop_cutout_scale_rotate"
    options = {"network": functools.partial(ConvNet, width=8), "real_per_class": 8, "augmentation": strategy}
    python = dd.distill(
        parts[0], ipc=1, steps=6, test_dataset=parts[1], evaluation=False, root=tmp_path / "python", **options
    )
    assert fit() == 0
    # measured statistics differ from the catalog's in the last digits
    torch.testing.assert_close(python.images, product().images, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "nothing"}, r"there are .*dm"),
        ({"method": "herding"}, "give method='coreset', selection='herding'"),
        ({"wrong_option": 1}, "wrong_option"),
        ({"ipc": 100}, "init noise"),
        ({"evaluation": {"num_networks": 0}}, r"^evaluation.num_networks must be at least 1, got 0\.$"),
        ({"ipc": 0}, r"^ipc must be at least 1, got 0\.$"),
        ({"real_per_clas": 4}, "There is no option real_per_clas of DM; did you mean real_per_class"),
        ({"lr": "high"}, "lr must be a number, got 'high'"),
        ({"method": "dc", "distance": "euclid"}, "distance must be one of rowwise, mse, cos, got 'euclid'"),
        ({"method": "mtt", "real_per_class": None}, "There is no option real_per_class of MTT"),
        ({"num_classes": 3}, "num_classes is no option of a method here"),
        ({"network": "ConvNot"}, "did you mean ConvNet"),
        ({"network": "ConvNet:widht=4"}, "did you mean width"),
        ({"network": ConvNet((1, 8, 8), 2, depth=2)}, "network is a name"),
        ({"evaluation": {"epoch": 5}}, "There is no option evaluation.epoch; did you mean epochs"),
        ({"evaluation": {"network": "MLPP"}}, "did you mean MLP"),
        ({"evaluation": "no"}, "True, False or a dict"),
        ({"trainer": {"max_stepss": 5}}, "did you mean max_steps"),
        ({"codec": "Tilez"}, r"^There is no codec 'Tilez'; did you mean Tiles\.$"),
        ({"codec": {"class_path": "Tiles", "init_args": {"factr": 2}}}, "no option codec.factr of Tiles"),
        ({"networks": "Pretrained"}, "There is no source of networks 'Pretrained'"),
        ({"evaluation": {"random_real": "false"}}, r"evaluation.random_real must be True or False, got 'false'\.$"),
        ({"repeat_images": "no"}, r"repeat_images must be True or False, got 'no'\.$"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"steps": 1.5}, r"^steps must be a whole number, got 1.5\.$"),
        ({"seed": -1}, r"^seed must be from 0 up to but not including 4294967296, got -1\.$"),
        ({"seed": "one"}, r"^seed must be a whole number, got 'one'\.$"),
        ({"image_size": "32"}, r"^image_size must be one positive number of pixels, .* got '32'\.$"),
        ({"name": 3}, r"^name is a text, not 3\.$"),
        ({"class_names": "ab"}, r"^class_names is a list of names, not the text 'ab'\.$"),
        ({"data": "zca"}, r"^data is a dict of options such as zca, not 'zca'\.$"),
        ({"trainer": "cpu"}, r"^trainer is a dict of options such as max_time, not 'cpu'\.$"),
        ({"trainer": {"max_steps": 5}}, "give steps= to distill"),
    ],
)
def test_errors_are_sentences(options, words, tmp_path):
    with pytest.raises(UserError, match=words):
        _distill(tmp_path, **options)


def test_a_method_that_needs_experts_says_what_they_are(tmp_path):
    with pytest.raises(UserError, match="Give experts, which has no default: the folder of networks"):
        dd.distill(_separable(), method="mtt", ipc=1, root=tmp_path)


def test_networks_by_name_and_numbers_of_numpy(tmp_path):
    evaluation = {"network": "MLP", "num_networks": 1, "epochs": 1}
    numbers = {"ipc": numpy.int64(1), "lr": numpy.float32(0.5)}
    distilled = _distill(tmp_path, network="ConvNet:width=4,depth=2", evaluation=evaluation, **numbers)
    assert distilled.info["evaluations"][0]["network"] == "MLP"
    options = distilled.info["config"]["model"]["init_args"]
    network = {"class_path": "lightning_dd.networks.ConvNet", "init_args": {"width": 4, "depth": 2}}
    assert (options["network"], options["ipc"], options["lr"]) == (network, 1, 0.5)


@pytest.mark.parametrize("by", ["class", "name"])
def test_codecs_and_sources_of_networks_are_recorded_as_configs_name_them(by, tmp_path):
    parts = {"codec": functools.partial(Tiles, factor=2), "networks": PretrainedNetworks(number=1, epochs=1)}
    if by == "name":
        parts["codec"] = "Tiles"
        parts["networks"] = {"class_path": "PretrainedNetworks", "init_args": {"number": 1, "epochs": 1}}
    distilled = _distill(tmp_path, evaluation=False, network="ConvNet:width=4,depth=1", **parts)
    assert len(distilled) == 8
    options = distilled.info["config"]["model"]["init_args"]
    if by == "class":
        assert options["codec"] == {"class_path": "lightning_dd.artifact.codecs.Tiles", "init_args": {"factor": 2}}
        found = {"number": 1, "epochs": 1, "recipe": "fast", "mix": False}
        path = "lightning_dd.training.pretrained.PretrainedNetworks"
        assert options["networks"] == {"class_path": path, "init_args": found}
    again = _distill(tmp_path, evaluation=False, **{name: options[name] for name in ("network", *parts)})
    assert torch.equal(again.images, distilled.images)


def test_importing_costs_nothing():
    code = "import sys, lightning_dd; assert 'torch' not in sys.modules; print(lightning_dd.__version__)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_loading_does_not_import_the_trainer(tmp_path):
    _distill(tmp_path, evaluation=False)
    path = tmp_path / "dm_custom_ipc1" / "version_0" / "distilled.safetensors"
    code = (
        f"import sys, lightning_dd as dd; d = dd.load({str(path)!r}); print(len(d), d[0][0].shape, d.class_names); "
        "assert 'lightning' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "2 torch.Size([1, 8, 8]) ('0', '1')", result.stderr
