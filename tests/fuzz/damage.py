"""Checkpoints with damaged content."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from fuzz_runs import CONF, Case, checkpoints_of, fit


def checkpoints(root: Path) -> Iterator[Case]:
    """Give checkpoints with damaged content, each resumed."""
    all_good = checkpoints_of(root)
    good = all_good[CONF]

    def of(change: Callable[[dict], Any], config: Path = CONF) -> Callable[[], object]:
        def use() -> int:
            loaded = torch.load(all_good[config], weights_only=True)
            changed = change(loaded)
            path = root / "damaged.ckpt"
            torch.save(loaded if changed is None else changed, path)
            return fit(root / "resumed", "--ckpt_path", str(path), "--trainer.max_steps", "2", config=config)()

        return use

    def put(*keys: str, value: Any) -> Callable[[dict], None]:
        def change(loaded: dict) -> None:
            for key in keys[:-1]:
                loaded = loaded[key]
            if value == "REMOVED":
                del loaded[keys[-1]]
            else:
                loaded[keys[-1]] = value

        return change

    for name in torch.load(good, weights_only=True):
        for value in ("REMOVED", "x", None, [], {}, -1, 2**70, torch.tensor(math.nan)):
            yield f"checkpoint: {name} is {value}", of(put(name, value=value))
    for name in torch.load(good, weights_only=True)["callbacks"]:
        for value in ("REMOVED", {}, [], -1):
            yield f"checkpoint: {name} among the callbacks is {value}", of(put("callbacks", name, value=value))
    for config in list(all_good)[1:]:
        for value in ("REMOVED", None, {}, {"x": torch.zeros(3)}, {"made": 3, "members": [{}]}):
            changed = of(put("distiller", "networks", value=value), config)
            yield f"checkpoint: networks of {config.stem} are {value}", changed
    for name in ("format", "iteration", "options", "commands", "networks", "key"):
        for value in ("REMOVED", "x", None, [], {}, -1, torch.tensor(math.nan)):
            yield f"checkpoint: distiller.{name} is {value}", of(put("distiller", name, value=value))
    for value in (
        "REMOVED",
        "x",
        None,
        torch.zeros(3),
        torch.zeros(10, 1, 8, 8) * math.nan,
        torch.zeros(10, 1, 8, 8) + 0j,
    ):
        shown = type(value).__name__ if isinstance(value, torch.Tensor) else value
        yield f"checkpoint: images are {shown}", of(put("state_dict", "synthetic.codec.images", value=value))
    yield "checkpoint: a list", of(lambda loaded: [loaded])
    yield "checkpoint: a tensor", of(lambda loaded: torch.zeros(3))
    yield "checkpoint: a model that is none", of(put("distiller", "options", value={"model": 5}))
    yield (
        "checkpoint: init_args a list",
        of(put("distiller", "options", value={"model": {"class_path": "DM", "init_args": []}})),
    )
    yield "checkpoint: records a number", of(put("callbacks", "Evaluation", value=5))
    yield "checkpoint: records of nothing", of(put("callbacks", "Evaluation", value={"records": [{}]}))
    yield (
        "checkpoint: momentum NaN",
        of(
            lambda c: c["optimizer_states"][0]["state"].update(
                {0: {"momentum_buffer": torch.full((10, 1, 8, 8), math.nan)}}
            )
        ),
    )
    yield (
        "checkpoint: momentum of another shape",
        of(lambda c: c["optimizer_states"][0]["state"].update({0: {"momentum_buffer": torch.zeros(3)}})),
    )
    yield "checkpoint: lr negative", of(lambda c: c["optimizer_states"][0]["param_groups"][0].update(lr=-1.0))
    yield "checkpoint: lr a text", of(lambda c: c["optimizer_states"][0]["param_groups"][0].update(lr="x"))
