"""Every method: the gradient of several processes is that of one, and one process goes on from what several left."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lightning_dd.app import names
from lightning_dd.app.cli import main

CONF = Path(__file__).parent / "conf"
SGD = ["--model.momentum", "0.5"]  # its state after a step is the gradient
METHODS = {
    "dm": SGD,
    "dc": SGD,
    "dsa": SGD,
    "dd": SGD,
    "mtt": [*SGD, "--model.segments_per_step", "2", "--model.lr", "100"],
    "frepo": [],
    "kip": [],
}
PRETRAINED = ["--model.num_networks", "2", "--model.network_epochs", "1"]
WITH_TILES = {  # method, its configuration and options
    **{method: (method, options) for method, options in METHODS.items()},
    "datm": ("mtt", ["--model", "DATM", *METHODS["mtt"], "--model.largest_loss", "null"]),
    "tesla": ("mtt", ["--model", "TESLA", *METHODS["mtt"]]),
    "dance": ("dm", ["--model", "DANCE", *PRETRAINED]),
    "ncfm": ("dm", ["--model", "NCFM", *PRETRAINED, "--model.frequencies", "16"]),
    "dsdm": ("dm", ["--model", "DSDM", *PRETRAINED, "--model.history_from", "1"]),
    "idm": ("dm", ["--model", "IDM", "--model.every", "2", "--model.network_steps", "2"]),
    "datadam": ("dm", ["--model", "DataDAM"]),
    "idc": ("dc", ["--model", "IDC", "--model.n_data", "48", "--model.synthetic_per_class", "6"]),
    "accdd": ("dc", ["--model", "AccDD", "--model.n_data", "48", *PRETRAINED]),
    "dream": ("dc", ["--model", "DREAM", "--model.n_data", "48", "--model.every", "2", "--model.init", "real"]),
    "ratbptt": ("dd", ["--model", "RaTBPTT", "--model.window", "2", "--model.augmentation", "null"]),
}
TILES = ["--model.codec", "Tiles", "--model.codec.factor", "2"]
FREQUENCIES = ["--model.codec", "Frequencies", "--model.codec.keep", "20"]
IMAGES = "synthetic.codec.images"
DOUBLE = ["--trainer.precision", "64-true"]
pytestmark = [pytest.mark.ddp, pytest.mark.slow]


def test_no_method_is_left_out():
    """Those that choose real images, and experts, take no steps."""
    assert {*WITH_TILES, "coreset", "rded", "experts"} == {name.lower() for name in names.METHODS}


@pytest.fixture(scope="module")
def experts(tmp_path_factory):
    """A folder of experts for trajectory matching."""
    folder = tmp_path_factory.mktemp("experts")
    command = ["fit", "--config", str(CONF / "experts_digits.yaml"), "--model.folder", str(folder / "experts")]
    assert main([*command, "--trainer.default_root_dir", str(folder)]) == 0
    return folder / "experts"


@pytest.fixture
def run(experts, tmp_path):
    """Run a method on so many processes and return its checkpoint."""

    def fit(method, name, processes, *options):
        root = tmp_path / name
        arguments = ["fit", "--config", str(CONF / f"{method}_digits.yaml"), *METHODS[method], *options]
        arguments += ["--model.lr_decay", "1", "--trainer.default_root_dir", str(root), "--data.held_out", "0.8"]
        if method == "mtt":
            arguments += ["--model.experts", str(experts)]
        if processes == 1:
            assert main(arguments) == 0
        else:
            several = ["--trainer.devices", str(processes), "--trainer.strategy", "ddp"]
            command = [sys.executable, "-m", "lightning_dd", *arguments, *several]
            result = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=400)
            assert result.returncode == 0, result.stderr
        (path,) = root.glob("*/version_0/checkpoints/last.ckpt")
        return torch.load(path, weights_only=True)

    return fit


def _gradient(checkpoint):
    """Return the gradient of the images in the first step, from what the optimizer keeps of it."""
    state = checkpoint["optimizer_states"][0]
    (group,) = [group for group in state["param_groups"] if group["name"] == "images"]
    kept = state["state"][group["params"][0]]
    return kept["momentum_buffer"] if "momentum_buffer" in kept else kept["exp_avg"]


@pytest.mark.parametrize("method", METHODS)
def test_the_first_gradient_of_several_processes_is_that_of_one(method, run):
    one, three = (_gradient(run(method, str(n), n, "--trainer.max_steps", "1")) for n in (1, 3))
    assert one.dtype == torch.float32
    assert one.abs().max() > 0
    assert (three - one).abs().max() < 1e-5 * one.abs().max()


@pytest.mark.parametrize(
    ("method", "codec"), [*((method, TILES) for method in WITH_TILES), ("dm", FREQUENCIES), ("mtt", FREQUENCIES)]
)
def test_one_process_goes_on_from_two_however_images_are_stored(method, codec, run):
    config, options = WITH_TILES[method]

    def learned(name, processes, steps, *more):
        checkpoint = run(config, name, processes, *options, *codec, *DOUBLE, "--trainer.max_steps", steps, *more)
        return {key: value for key, value in checkpoint["state_dict"].items() if key.startswith("synthetic.")}

    start = learned("start", 1, "1", "--model.lr", "1e-30")
    one = learned("one", 1, "4")
    learned("two", 2, "3")
    two = learned("two", 1, "4", "--ckpt_path", "last")
    assert one[IMAGES].dtype == torch.float64
    for name in one:  # FRePo learns labels too, DD step sizes
        largest_update = (one[name] - start[name]).abs().max()
        assert largest_update > 1e-6 or name != IMAGES
        assert (two[name] - one[name]).abs().max() <= 1e-6 * largest_update
