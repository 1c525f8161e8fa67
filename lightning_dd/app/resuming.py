"""Resuming a run: its checkpoint, and the method's options in it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import dict_to_namespace

from lightning_dd.artifact.checkpoint import read_checkpoint
from lightning_dd.artifact.files import newest_run
from lightning_dd.callbacks.run_paths import ARTIFACT, CHECKPOINT, CONFIG
from lightning_dd.errors import UserError


def run_name(config: Any) -> str:
    """Return the name of a run's folder, `<method>_<data>_ipc<k>` and a coreset's rule; experts have no `ipc`.

    Args:
        config: the parsed configuration of a command.
    """
    method = config.model.class_path.rsplit(".", 1)[-1].lower()
    data = snake_case(config.data.class_path.rsplit(".", 1)[-1])
    root = config.data.init_args.get("root")
    if data in ("image_folder", "parquet") and root:
        data = re.sub(r"\W+", "_", Path(root).resolve().name.lower())
    selection = config.model.init_args.get("selection")  # of a coreset
    ipc = config.model.init_args.get("ipc")
    return f"{method}_{data}{f'_ipc{ipc}' if ipc else ''}{f'_{selection}' if selection else ''}"


def snake_case(name: str) -> str:
    """Return `fashion_mnist` for `FashionMNIST`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def with_own_config(words: Sequence[str]) -> list[str]:
    """Return the arguments of a command; a `test` that names only a run takes the config in that run's folder.

    Args:
        words: the arguments as given.

    Raises:
        UserError: there is nothing at the place that the command names, or no run.
    """
    command, *rest = words or [""]
    names = [word.partition("=")[0] for word in rest]
    if command != "test" or "--ckpt_path" not in names or {"-c", "--config", "--model", "--data"} & set(names):
        return list(words)
    place = names.index("--ckpt_path")
    given = Path(rest[place].partition("=")[2] or "".join(rest[place + 1 : place + 2])).expanduser()
    if str(given) == "last" and not given.exists():
        raise UserError("`last` is the newest run of a method on some data: name them by --config, or give its folder.")
    if not given.exists():
        raise UserError(f"There is no checkpoint {given}; give a run's folder, or a checkpoint in it.")
    checkpoint = newest_run(given, str(CHECKPOINT)) if given.is_dir() else None
    runs = [checkpoint.parents[1] / CONFIG] if checkpoint else []
    if not any(map(Path.is_file, runs)):
        runs = [newest_run(given, CONFIG)] if given.is_dir() else []
    found = [*runs, *(path for folder in list(given.resolve().parents)[:2] if (path := folder / CONFIG).is_file())]
    if not any(found) and given.is_dir():
        if checkpoint:
            raise UserError(
                f"{given} was made from Python, without a {CONFIG}: give --model, its options and --data too."
            )
        raise UserError(f"The folder {given} is no run's: it holds no {CONFIG}; give that of one run, `version_N`.")
    test = ["--evaluation.enabled", "true", "--evaluation.split", "test"]  # whatever the run had
    own = next((["--config", str(path), *test] for path in found if path), [])
    return [command, *own, *rest]


def find_checkpoint(given: str, runs: Path) -> tuple[Path, Path | None]:
    """Return the checkpoint that a user names, and its run's folder where a run or all of a name are given.

    Args:
        given: a checkpoint, a run's folder or that of several, or `last`.
        runs: the folder of all runs of this name.

    Raises:
        UserError: there is none.
    """
    folder = runs if given == "last" else Path(given).expanduser()
    if given != "last" and not folder.is_dir():
        return folder, None
    path = newest_run(folder, str(CHECKPOINT))
    if path is None:
        folders = f"give the folder of a run, which holds {CHECKPOINT}"
        remedy = "start without {ckpt_path}" if given == "last" else folders
        raise UserError(f"There is no checkpoint in {folder}; {remedy}.")
    return path, path.resolve().parents[1]


def refuse_overwriting(config: Any) -> None:
    """Refuse to write over what an earlier run learned.

    Args:
        config: of a `fit` without a logger, which has no folder of its own.

    Raises:
        UserError: that of all runs has a distilled set or a checkpoint already.
    """
    for found in (Path(config.trainer.default_root_dir) / name for name in (ARTIFACT, CHECKPOINT)):
        if config.get("ckpt_path") is None and found.exists():
            another = "set another {trainer.default_root_dir}"
            raise UserError(f"Without a logger, this would write over {found}: {another}.")


def apply_checkpoint(config: Any, command: str) -> None:
    """Replace the method's options by those of the checkpoint that a run resumes from; print what changes.

    Args:
        config: the parsed configuration of a command, changed in place.
        command: `fit` or `test`.

    Raises:
        UserError: the checkpoint cannot be read, belongs to another method, or has learned from images that are to be
            held out.
    """
    options = read_checkpoint(config.ckpt_path)["distiller"]["options"]
    if command == "fit" or config.evaluation.split == "held_out":
        _check_held_out(config, options.get("data") or {})
    saved = options.get("model")
    if not saved:
        return
    ours = config.model
    if ours.class_path != saved["class_path"]:
        paths = saved["class_path"], ours.class_path
        theirs, mine = (path.rsplit(".", 1)[-1] for path in paths)
        theirs, mine = paths if theirs == mine else (theirs, mine)
        raise UserError(f"The checkpoint was made with method {theirs}, but this run has method {mine}.")
    for name, value in (saved.get("init_args") or {}).items():
        given = _plain(ours.init_args.get(name))
        if given != value and name in ours.init_args:
            for option, ours_says, saved_says in _differences(f"--model.{name}", given, value):
                print(f"{option} {ours_says} is overridden by the checkpoint's {saved_says}.")
            ours.init_args[name] = dict_to_namespace(value) if isinstance(value, dict) else value


def _check_held_out(config: Any, saved: dict[str, Any]) -> None:
    theirs, ours = (found.get("held_out") for found in (saved.get("init_args") or {}, config.data.init_args))
    if saved and (theirs or 0) != (ours or 0):
        raise UserError(f"The checkpoint was made with {{data.held_out}} {theirs}, but this run has {ours}: keep it.")


def _differences(option: str, ours: Any, saved: Any) -> list[tuple[str, Any, Any]]:
    """Return what differs, by option: of networks of one class their own options."""
    (kind, options), (saved_kind, saved_options) = _class_and_options(ours), _class_and_options(saved)
    if kind is None or kind != saved_kind:
        return [(option, kind or ours, saved_kind or saved)]
    names = [name for name in {**options, **saved_options} if options.get(name) != saved_options.get(name)]
    return [(f"{option}.{name}", options.get(name), saved_options.get(name)) for name in names]


def _class_and_options(value: Any) -> tuple[str | None, dict[str, Any]]:
    if not isinstance(value, dict) or "class_path" not in value:
        return None, {}
    return value["class_path"].rpartition(".")[2], value.get("init_args") or {}


def _plain(value: Any) -> Any:
    if hasattr(value, "as_dict"):
        value = value.as_dict()
    return list(value) if isinstance(value, tuple) else value
