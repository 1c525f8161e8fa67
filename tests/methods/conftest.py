"""Fixtures of trajectory matching: a method whose experts walk at random, and tiny real experts."""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lightning_dd.app.cli import main
from lightning_dd.methods import MTT
from lightning_dd.networks import ConvNet, build
from lightning_dd.rng import generator
from tests.methods.steps import Walk

CONF = Path(__file__).parents[1] / "conf"
SHAPE = (2, 8, 6)


def _matching(method: type[MTT] = MTT, ipc: int = 2, activation: str = "relu", **options) -> MTT:
    network = functools.partial(ConvNet, width=3, depth=2, activation=activation)
    defaults = {"synthetic_steps": 3, "expert_epochs": 2, "max_start_epoch": 3, "step_size": 0.1, "augmentation": None}
    options = {"network": network, "num_classes": 3, "image_shape": SHAPE, "seed": 7, **defaults, **options}
    module = method(ipc, "experts", **options)
    with torch.no_grad():
        module.synthetic.codec.start_noise(generator(0, "test"))
    built = build(network, SHAPE, 3, torch.Generator().manual_seed(0)).double()
    module.networks.context = module.source_context()
    module.networks.use(Walk(built), built)
    return module.double()


@pytest.fixture
def matching() -> Callable[..., MTT]:
    """Make a method in float64 whose experts walk at random."""
    return _matching


@pytest.fixture(scope="session")
def experts(tmp_path_factory) -> Path:
    """Two tiny experts of three epochs."""
    root = tmp_path_factory.mktemp("experts")
    options = ["--trainer.default_root_dir", str(root / "runs"), "--model.folder", str(root / "experts")]
    assert main(["fit", "--config", str(CONF / "experts_digits.yaml"), *options]) == 0
    return root / "experts"
