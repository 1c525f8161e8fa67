"""Every config parses and instantiates; its first line says the published number and whether we ran it."""

from pathlib import Path

import pytest
from lightning.pytorch import Trainer

from lightning_dd.app.cli import main

CONFIGS = sorted(Path(__file__).parent.parent.glob("configs/**/*.yaml"))


def _identity(path: Path) -> str:
    return str(path.relative_to(path.parents[1] if path.parent.name == "configs" else path.parents[2]))


@pytest.mark.parametrize("path", CONFIGS, ids=_identity)
def test_instantiates(path, tmp_path, monkeypatch):
    seen = {}

    def fit(self, model, datamodule, **_):
        seen.update(model=model, data=datamodule, trainer=self)

    monkeypatch.setattr(Trainer, "fit", fit)
    assert main(["fit", "--config", str(path), "--trainer.default_root_dir", str(tmp_path)]) == 0
    model, data = seen["model"], seen["data"]
    if path.parent.name == "experts":
        assert path.stem.startswith(data.name)
        assert model.folder == Path("experts") / path.stem  # where the methods' configs look for them
        return
    assert model.images.shape == (data.num_classes * model.ipc, *data.image_shape)
    assert seen["trainer"].max_steps > 0
    if path.parent.name != "configs":
        # a folder is a method, or a method and what sets its settings apart: dd, dd_momentum
        assert f"{path.parent.name}_".startswith(f"{type(model).__name__.lower()}_")
        # DD's two settings are known by their initial weights rather than by the number of images
        weights = "fixed" if getattr(model, "fixed_weights", False) else "random"
        rule = f"_{model.selection}" if hasattr(model, "selection") else ""
        assert path.stem.removesuffix("_short") in (f"{data.name}_ipc{model.ipc}{rule}", f"{data.name}_{weights}")


@pytest.mark.parametrize("path", CONFIGS, ids=_identity)
def test_first_line_is_honest(path):
    first = path.read_text().splitlines()[0]
    assert first.startswith("# ")
    if path.parent.name != "configs":
        assert "published" in first
        recorded = path.with_suffix(".results.json").exists()
        assert recorded != first.endswith("Not run by us yet.")
