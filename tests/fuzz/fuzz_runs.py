"""Good runs of the tiny configuration, from which bad cases are made."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from harness import LaunchError, command, outcome
from safetensors import safe_open

CONF = Path(__file__).parents[1] / "conf" / "dm_digits.yaml"
KEEPING_NETWORKS = ("dc", "frepo", "idm", "dance")
Case = tuple[str, Callable[[], object]]


def fit(root: Path, *words: str, config: Path | str = CONF) -> Callable[[], int]:
    """Return a run of one step on the bundled digits."""
    short = () if "--trainer.max_steps" in words else ("--trainer.max_steps", "1")
    return command("fit", "--config", config, "--trainer.default_root_dir", root, *short, *words)


def run_of(root: Path) -> Path:
    """Return the folder of a finished run, made once."""
    folder = root / "good" / "dm_digits_ipc1" / "version_0"
    if not folder.is_dir():
        good = ("--evaluation.enabled", "true", "--evaluation.num_networks", "1", "--evaluation.epochs", "1")
        found = outcome(fit(root / "good", *good), 120)
        assert found == "ok", found
    return folder


def checkpoints_of(root: Path) -> dict[Path, Path]:
    """Return checkpoints by the configs of their runs: of DM, and of methods that keep networks, after one step."""
    found = {CONF: run_of(root) / "checkpoints" / "last.ckpt"}
    for config in (CONF.with_name(f"{method}_digits.yaml") for method in KEEPING_NETWORKS):
        place = root / "good" / config.stem
        if not place.is_dir():
            said = outcome(fit(place, config=config), 120)
            assert said == "ok", said
        (found[config],) = place.rglob("last.ckpt")
    return found


def artifact(root: Path) -> Path:
    """Return its distilled set."""
    return run_of(root) / "distilled.safetensors"


def content(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return tensors and description of a distilled set."""
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["description"])  # noqa: SIM118


def no_launch(patch: Callable[..., None] = setattr) -> None:
    """Make Lightning fail where it would start processes; `patch` sets an attribute."""
    from lightning.pytorch.strategies.launchers import multiprocessing, subprocess_script

    def launch(self: Any, *_: Any, **__: Any) -> None:
        raise LaunchError(type(self).__name__)

    patch(subprocess_script._SubprocessScriptLauncher, "_call_children_scripts", launch)
    patch(multiprocessing._MultiProcessingLauncher, "launch", launch)
