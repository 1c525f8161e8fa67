"""Checkpoints of runs, checked before anything relies on what they hold."""

from pathlib import Path
from typing import Any

from lightning_dd.artifact import schema
from lightning_dd.artifact.unpickle import DamagedFileError, check_tensor, read_pickled, tensors_in
from lightning_dd.errors import UserError

FORMAT = 2
LAST_OF_FORMAT_1 = "2f27814"
CHECKPOINT = {
    "state_dict": schema.table,
    "optimizer_states": [{"state": lambda value: isinstance(value, dict), "param_groups": [schema.table]}],
    "lr_schedulers": [schema.table],
    "loops": {"fit_loop": schema.table},
    "callbacks": schema.table,
    "global_step": schema.count,
    "epoch": schema.count,
    "pytorch-lightning_version": schema.text,
    "distiller": {
        "iteration": schema.count,
        "options": {"model?": schema.CLASS, "data?": schema.CLASS},
        "commands?": [schema.lines],
        "networks?": schema.table,
        "key?": schema.table,
        "teacher?": {"tensors": schema.table, "checked": schema.table},
    },
}
"""The form of a checkpoint; Lightning writes all but `distiller`."""


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Return a checkpoint, on the CPU.

    Raises:
        UserError: the file is missing, damaged or of another program.
    """
    if not Path(path).is_file():
        raise UserError(f"There is no checkpoint {path}; give a run's folder, or `last` for the newest run.")
    if Path(path).suffix == ".safetensors":
        raise UserError(f"{path} is a distilled set; give the checkpoint of its run, checkpoints/last.ckpt beside it.")
    try:
        checkpoint = read_pickled(Path(path))
    except DamagedFileError:
        raise UserError(f"{path} is not a checkpoint of this program, or it is damaged.") from None
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("distiller"), dict):
        raise UserError(f"{path} is not a checkpoint of this program, or it is damaged.")
    check_checkpoint(checkpoint, str(path))
    return checkpoint


def check_checkpoint(checkpoint: dict[str, Any], name: str = "The checkpoint") -> None:
    """Refuse a checkpoint that is of another program or format, or that is damaged.

    Raises:
        UserError: calls it by its `name`.
    """
    saved = checkpoint.get("distiller")
    if saved is None:
        raise UserError("The file given as {ckpt_path} is a checkpoint of another program.")
    if not isinstance(saved, dict) or saved.get("format") != FORMAT:
        raise UserError(f"The checkpoint has an older format; commit {LAST_OF_FORMAT_1} is the last that reads it.")
    schema.check_form(checkpoint, CHECKPOINT, name)
    for place, tensor in tensors_in(checkpoint):
        check_tensor(tensor, f"{name}, at {place},")
        if tensor.is_complex() or not tensor.isfinite().all():
            raise UserError(f"{name} holds values that are not finite, at {place}: it is damaged.")
