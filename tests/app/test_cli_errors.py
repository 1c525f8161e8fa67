"""Sentences in place of jsonargparse's messages; these come from real parsers."""

from typing import Literal

import pytest

from lightning_dd.app.cli import flag
from lightning_dd.app.cli_errors import PlainParser, sentence
from lightning_dd.data import ImageData
from lightning_dd.errors import UserError
from lightning_dd.methods import Distiller

MODEL = ["--model", "DM", "--model.ipc", "3"]
DATA = ["--data", "Digits"]


@pytest.fixture(scope="module")
def parser():
    made = PlainParser()
    made.add_argument("--config", action="config")
    made.add_argument("--count", type=int, default=1)
    made.add_argument("--rate", type=float, default=1.0)
    made.add_argument("--flag", type=bool, default=True)
    made.add_argument("--mode", type=Literal["fast", "slow"], default="fast")
    made.add_argument("--zca", type=Literal["mtt", "frepo"] | None, default=None)
    made.add_argument("--limit", type=int | float | None, default=None)
    made.add_argument("--level", type=Literal["all"] | int, default="all")
    made.add_lightning_class_args(Distiller, "model", subclass_mode=True, required=True)
    made.add_lightning_class_args(ImageData, "data", subclass_mode=True, required=True)
    return made


@pytest.fixture(scope="module")
def commands(parser):
    made = PlainParser()
    fit = PlainParser(exit_on_error=False)
    fit.add_argument("--config", action="config")
    fit.add_argument("--steps", type=int, default=1)
    test = PlainParser(exit_on_error=False)
    added = made.add_subcommands()
    added.add_subcommand("fit", fit)
    added.add_subcommand("test", test)
    return made


def _said(parser, *arguments):
    with pytest.raises(UserError) as caught:
        parser.parse_args(list(arguments))
    message = caught.value.worded(flag)
    assert "\n" not in message
    assert caught.value.__suppress_context__  # no traceback of the parser's own
    return message


def test_what_is_right_parses(parser):
    config = parser.parse_args([*MODEL, *DATA, "--zca", "mtt", "--limit", "0.5", "--level", "3"])
    assert config.model.class_path == "lightning_dd.methods.DM"
    assert config.model.init_args.ipc == 3
    assert (config.zca, config.limit, config.level) == ("mtt", 0.5, 3)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--cuont", "3"], "There is no option --cuont; did you mean --count."),
        (["--cuont=3"], "There is no option --cuont; did you mean --count."),
        (["--count", "x"], "--count must be a whole number, got 'x'."),
        (["--count", "1.5"], "--count must be a whole number, got '1.5'."),
        (["--rate", "fast"], "--rate must be a number, got 'fast'."),
        (["--flag", "maybe"], "--flag must be true or false, got 'maybe'."),
        (["--mode", "medium"], "--mode must be one of fast, slow, got 'medium'."),
        (["--zca", "pca"], "--zca must be one of mtt, frepo, got 'pca'."),
        (["--limit", "much"], "--limit must be a whole number or a number, got 'much'."),
        (["--level", "some"], "--level must be all or a whole number, got 'some'."),
    ],
)
def test_plain_options(arguments, expected, parser):
    assert _said(parser, *MODEL, *DATA, *arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--model.ipcc", "3"], "There is no option --model.ipcc of DM; did you mean --model.ipc."),
        (["--model.ipc", "ten"], "--model.ipc must be a whole number, got 'ten'."),
        (["--model.lr", "[1]"], "--model.lr must be a number, got 'list'."),
        (["--model.lr", "high"], "--model.lr must be a number, got 'high'."),
        (["--model.ipc", "0"], "--model.ipc must be at least 1, got 0."),
        (["--model.ipc", "1.5"], "--model.ipc must be a whole number, got 1.5."),
        (["--model.clip", "0"], "--model.clip must be above 0, got 0."),
        (["--model.momentum", "1"], "--model.momentum must be from 0 up to but not including 1, got 1."),
        (["--model.network.depth", "0"], "--model.network.depth must be at least 1, got 0."),
        (["--model.network", "Custom"], "Give --model.network.name, which has no default."),
        (
            ["--model.network", "tests.networks.own.Plain"],
            "The network tests.networks.own.Plain is a module of yours: give --model.network Custom "
            "--model.network.name tests.networks.own.Plain.",
        ),
        (["--model.network", "ConvNett"], "There is no network 'ConvNett'; did you mean ConvNet."),
        (
            ["--model.network.depthh", "3"],
            "There is no option --model.network.depthh of ConvNet; did you mean --model.network.depth.",
        ),
        (["--model.network.depth", "x"], "--model.network.depth must be a whole number, got 'x'."),
    ],
)
def test_options_of_a_method(arguments, expected, parser):
    assert _said(parser, *MODEL, *DATA, *arguments) == expected


def test_options_of_data(parser):
    assert _said(parser, *MODEL, *DATA, "--data.zca", "pca") == "--data.zca must be one of mtt, frepo, got 'pca'."


@pytest.mark.parametrize("name", ["DMM", "Dm"])
def test_nearest_method(name, parser):
    assert _said(parser, "--model", name, *DATA).startswith(f"There is no method '{name}'")


def test_nearest_data(parser):
    assert _said(parser, *MODEL, "--data", "CIFAR11") == "There is no data set 'CIFAR11'; did you mean CIFAR10."
    assert (
        _said(parser, *MODEL, "--data", "FashionMnist")
        == "There is no data set 'FashionMnist'; did you mean FashionMNIST."
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("torch.nn.Linear", "The class Linear of the module torch.nn is no method."),
        ("torch.nn.utils.prune.Pruned", "The module torch.nn.utils.prune was found, but it has no class Pruned; "),
        ("no.such.Class", "There is no module no; modules are looked for in the current folder and "),
    ],
)
def test_classes_of_other_modules(name, expected, parser):
    assert _said(parser, "--model", name, *DATA).startswith(expected)


def test_something_that_is_no_method(parser):
    said = _said(parser, "--model", "Zzz", *DATA)
    assert said.startswith("There is no method 'Zzz'; there are ")
    assert "DM" in said
    assert "Distiller" not in said  # the base class is no choice
    assert "Error" not in said


def test_missing(parser):
    assert _said(parser).startswith("Give a method and data: --config")
    assert _said(parser, *DATA).startswith("Give a method and data: --config")
    assert _said(parser, *DATA, "--model", "DM") == "Give --model.ipc, which has no default."


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "model:\n  class_path: DM\n  init_args:\n    ipcc: 3\n",
            "There is no option --model.ipcc of DM; did you mean --model.ipc.",
        ),
        ("count: many\n", "--count must be a whole number, got 'many'."),
        ("zca: pca\n", "--zca must be one of mtt, frepo, got 'pca'."),
    ],
)
def test_config_file(content, expected, parser, tmp_path):
    (tmp_path / "c.yaml").write_text(content)
    assert _said(parser, "--config", str(tmp_path / "c.yaml"), *MODEL, *DATA) == expected


@pytest.mark.parametrize("content", ["model: [\n", "- a\n- b\n", "only words\n", "a: b: c\n", "\tmodel: DM\n"])
def test_config_file_that_is_no_config(content, parser, tmp_path):
    (tmp_path / "c.yaml").write_text(content)
    assert len(_said(parser, "--config", str(tmp_path / "c.yaml"), *MODEL, *DATA)) > 10


def test_unknown_key_in_a_config_file(parser, commands, tmp_path):
    (tmp_path / "c.yaml").write_text("stepz: 3\n")
    expected = "There is no option --stepz; did you mean --steps."
    assert _said(commands, "fit", "--config", str(tmp_path / "c.yaml")) == expected
    (tmp_path / "d.yaml").write_text("cuont: 3\n")
    assert "cuont" in _said(parser, "--config", str(tmp_path / "d.yaml"), *MODEL, *DATA)


def test_config_that_is_not_there(parser, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    expected = "There is no config configs/dm.yaml; the command `list configs` names those that there are."
    for given in ("configs/dm.yaml", str(tmp_path / "configs" / "dm.yaml")):
        assert _said(parser, "--config", given) == expected
    assert _said(parser, "--config", "configs") == expected.replace("configs/dm.yaml", "configs", 1)
    (tmp_path / "configs" / "dm1.yaml").touch()
    assert _said(parser, "--config", "configs/dm.yaml").endswith("configs/dm.yaml; did you mean dm1.")


@pytest.mark.parametrize("arguments", [[], ["fitt"]])
def test_commands(arguments, commands):
    assert _said(commands, *arguments).startswith("No subcommand given: use `fit`")


def test_options_of_commands(commands):
    assert _said(commands, "fit", "--stepz", "3") == "There is no option --stepz; did you mean --steps."
    assert _said(commands, "fit", "--steps", "x").endswith("must be a whole number, got 'x'.")


def test_messages_without_an_explanation():
    assert sentence("argument --model: expected one argument") == "argument --model: expected one argument"
    assert sentence("Errors:\n  - The innermost cause\n  - Expected a <class 'NoneType'>\n") == "The innermost cause"
    assert sentence("Given value:\n  Subtypes: []") == "Given value: Subtypes: []"
    assert sentence("\n") == ""
