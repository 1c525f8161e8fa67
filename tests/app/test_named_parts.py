"""A part that the command line names starts from the defaults of its class."""

import pytest
import yaml

from lightning_dd.app.cli import main
from lightning_dd.app.named_parts import with_own_defaults

CONFIG = """
model:
  class_path: DM
  init_args:
    ipc: 1
    network: {class_path: ConvNet, init_args: {width: 8, depth: 2, norm: batch}}
    codec: {class_path: Tiles, init_args: {factor: 4}}
evaluation:
  network: {class_path: MLP, init_args: {width: 16}}
"""


@pytest.fixture
def parsed(tmp_path, capsys):
    """What the command line makes of a config with options before and after it."""
    (tmp_path / "mine.yaml").write_text(CONFIG)

    def parse(*options, before=()):
        words = ["fit", "--data", "Digits", *before, "--config", str(tmp_path / "mine.yaml"), *options]
        with pytest.raises(SystemExit):
            main([*words, "--print_config"])
        found = yaml.safe_load(capsys.readouterr().out)
        return found["model"]["init_args"], found["evaluation"]["network"]

    return parse


def test_a_class_named_on_the_command_line_takes_over_no_option_of_the_configs(parsed):
    model, measured = parsed("--model.network", "ResNet18", "--evaluation.network=ConvNet")
    assert model["network"]["init_args"] == {"norm": "instance"}
    assert (measured["init_args"]["width"], measured["init_args"]["norm"]) == (128, "instance")
    model, _ = parsed("--model.network.width=4", "--model.network", "ConvNet")
    assert (model["network"]["init_args"]["width"], model["network"]["init_args"]["norm"]) == (4, "instance")
    model, _ = parsed("--model.codec", "Tiles")
    assert model["codec"]["init_args"] == {"factor": 2}


def test_options_alone_change_what_the_configs_name(parsed):
    model, measured = parsed("--model.network.width", "4", "--evaluation.network.width=3")
    assert (model["network"]["init_args"]["width"], model["network"]["init_args"]["norm"]) == (4, "batch")
    assert measured["init_args"] == {"width": 3}


def test_a_config_that_comes_later_counts(parsed):
    model, _ = parsed(before=["--model=DM", "--model.network=ResNet18"])
    assert model["network"]["class_path"].endswith("ConvNet")
    assert model["network"]["init_args"]["norm"] == "batch"


@pytest.mark.parametrize("words", [["Convnet"], ["null"], ["ConvNet", "--model.network.widht", "4"], []])
def test_what_cannot_be_read_stays_for_the_parser(words):
    given = ["fit", "--model.network", *words]
    assert with_own_defaults(given) == given
