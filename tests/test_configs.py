"""Every config parses and instantiates; its first line says the published number and whether we ran it."""

import sys
from pathlib import Path

import pytest
from lightning.pytorch import Trainer
from PIL import Image

from lightning_dd.app.cli import DistillationCLI, main

FOLDER = Path(__file__).parent.parent / "configs"
PHOTOS = FOLDER / "fast" / "own_photos.yaml"
"""Settings for a folder that the command line names."""
FAST = sorted({*FOLDER.glob("fast/*.yaml")} - {PHOTOS})
"""Settings over those of a config."""
CONFIGS = sorted({*FOLDER.glob("**/*.yaml")} - {*FAST, PHOTOS})
METHODS = {path.parent.name: path for path in CONFIGS}
"""One config of each folder."""


def _identity(path: Path) -> str:
    return str(path.relative_to(path.parents[1] if path.parent.name == "configs" else path.parents[2]))


@pytest.fixture(scope="module")
def parser():
    """The parser of `fit`, built once: that is most of a start of the program."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DistillationCLI, "parse_arguments", lambda cli, *_: sys.exit(found.append(cli._parser("fit"))))
        with pytest.raises(SystemExit):
            main(["fit"])
    return found[0]


@pytest.mark.parametrize("path", CONFIGS, ids=_identity)
def test_parses_and_instantiates(path, parser):
    config = parser.parse_path(path)
    objects = parser.instantiate_classes(config)
    model, data = objects.model, objects.data
    if path.parent.name == "experts":
        assert path.stem.startswith(data.name)
        assert model.folder == Path("experts") / path.stem  # where the methods' configs look for them
        return
    assert len(model.synthetic) == data.num_classes * model.synthetic.images_per_class
    assert model.synthetic.codec.image_shape == data.image_shape
    assert config.trainer.max_steps > 0
    assert config.evaluation.protocol != model.protocol  # a config holds what differs from the method's defaults
    if path.parent.name == "recommended":
        assert path.stem == f"{data.name}_ipc{model.ipc}"
    elif path.parent.name != "configs":
        # a folder is a method, or a method and what sets its settings apart: dd, dd_momentum
        assert f"{path.parent.name}_".startswith(f"{type(model).__name__.lower()}_")
        # DD's two settings are known by their initial weights rather than by the number of images
        weights = "fixed" if getattr(model, "fixed_weights", False) else "random"
        rule = f"_{model.selection}" if hasattr(model, "selection") else ""
        assert path.stem.removesuffix("_short") in (f"{data.name}_ipc{model.ipc}{rule}", f"{data.name}_{weights}")


@pytest.mark.parametrize("path", METHODS.values(), ids=METHODS)
def test_starts(path, tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(Trainer, "fit", lambda trainer, model, **_: started.append(model))
    monkeypatch.setattr(DistillationCLI, "after_fit", lambda cli: None)  # nothing is learned here
    assert main(["fit", "--config", str(path), "--trainer.default_root_dir", str(tmp_path)]) == 0
    assert len(started) == 1


def test_first_lines_are_honest():
    for path in CONFIGS:
        first = path.read_text().splitlines()[0]
        assert first.startswith("# "), path
        if path.parent.name != "configs":
            assert "published" in first, path
            recorded = path.with_suffix(".results.json").exists()
            assert recorded != first.endswith("Not run by us yet."), path


def test_settings_for_photos_take_any_folder(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(Trainer, "fit", lambda trainer, model, **_: started.append(model))
    monkeypatch.setattr(DistillationCLI, "after_fit", lambda cli: None)
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (40, 30)).save(tmp_path / "photos" / name / f"{number}.png")
    data = ["--data", "ImageFolder", "--data.root", str(tmp_path / "photos"), "--data.image_size", "64"]
    config = ["--config", "fast/own_photos", "--model.ipc", "2", "--trainer.default_root_dir", str(tmp_path)]
    assert main(["fit", *config, *data]) == 0
    assert [len(model.synthetic) for model in started] == [2 * 2 * 4]


@pytest.mark.parametrize("path", FAST, ids=lambda path: path.stem)
def test_fast_settings_go_over_a_config(path, tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(Trainer, "fit", lambda trainer, model, **_: started.append((trainer, model)))
    monkeypatch.setattr(DistillationCLI, "after_fit", lambda cli: None)
    method, ipc = path.stem.split("_")
    configs = ["--config", f"{method}/mnist_{ipc}", "--config", f"fast/{path.stem}"]
    assert main(["fit", *configs, "--trainer.default_root_dir", str(tmp_path)]) == 0
    ((trainer, model),) = started
    assert type(model).__name__.lower() == method
    assert (f"ipc{model.ipc}", model.image_shape) == (ipc, (1, 28, 28))
    assert trainer.max_steps < model.published_steps
