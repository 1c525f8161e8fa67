"""Advice at the start of a run, from published settings and from records."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from lightning_dd.artifact.shipped import folders
from lightning_dd.callbacks import Evaluation
from lightning_dd.callbacks.find import find
from lightning_dd.comparison.records import TITLES, commands
from lightning_dd.errors import UserError
from lightning_dd.evaluation import find_protocol
from lightning_dd.methods import Distiller
from lightning_dd.runtime.precision import Float32Fallback
from lightning_dd.training.data import NOT_MIRRORED

FEW = 10  # a run of so many times fewer steps than published is short
Record = dict[str, Any]


def advice(trainer: Trainer, module: LightningModule, spell: Callable[[str], str] | None = None) -> list[str]:
    """Return sentences about a run that is to start.

    Args:
        trainer: with the number of steps.
        module: the method.
        spell: how the entry point writes the name of an option; None as from Python.
    """
    emulated = [Float32Fallback.message] if isinstance(trainer.precision_plugin, Float32Fallback) else []
    steps, data = trainer.max_steps, trainer.datamodule.name
    found = [*emulated, _mirrored(module, data)]
    if isinstance(module, Distiller):
        found += [_start(steps, module), _shorter(steps, module, data), _left_out(module)]
        found += [_unused_labels(trainer, module), _without_effect(module)]
    sentences = [UserError(each) for each in found if each]
    return [sentence.worded(spell) if spell else str(sentence) for sentence in sentences]


def _start(steps: int, module: Distiller) -> str | None:
    """Return what to do about a start from noise that few steps will not leave."""
    if module.init not in ("noise", "unit_noise") or not 0 < steps * FEW <= (module.published_steps or 0):
        return None
    few = f"{steps:,} of the published {module.published_steps:,} steps"
    return f"The images start from noise, which {few} hardly leave: try {{init}} real."


def _mirrored(module: LightningModule, data: str) -> str | None:
    """Return how to leave mirror images out where they are others than what they show."""
    if data in NOT_MIRRORED and getattr(module, "flip", False):
        return "Mirrored digits take part in the regression: {flip} false leaves them out, as published."
    strategy = getattr(getattr(module, "augmentation", None), "strategy", "")
    if data not in NOT_MIRRORED or "flip" not in strategy:
        return None
    chains = ([name for name in chain.split("+") if name != "flip"] for chain in strategy.split("_"))
    without = "_".join("+".join(chain) for chain in chains if chain) or "null"
    return f"The augmentation mirrors digits: {{augmentation}} {without} does not."


def _left_out(module: Distiller) -> str | None:
    """Return what is learned besides images and labels and not written, so that networks do not see it."""
    names = [name for name, _ in module.named_parameters() if not name.startswith("synthetic.")]
    kind = type(module)
    if not names or (kind.recipe, kind.recipe_tensors) != (Distiller.recipe, Distiller.recipe_tensors):
        return None
    return f"What is learned besides images and labels ({', '.join(names)}) is in no file: recipe_tensors() says it."


def _unused_labels(trainer: Trainer, module: Distiller) -> str | None:
    """Return a protocol that uses the labels that are learned, where the run's takes class indices."""
    labels, evaluation = module.synthetic.labels, find(trainer, Evaluation)
    name = (evaluation and evaluation.protocol) or module.protocol
    if not labels.learned or find_protocol(name).labels != "hard":
        return None
    other = "frepo" if labels.kind == "targets" else "common_soft"
    return (
        f"Protocol {name} takes class indices and not the learned labels: {{evaluation.protocol}} {other} takes these."
    )


def _without_effect(module: Distiller) -> str | None:
    """Return options of the method's own networks beside other ones, or that nothing is compiled."""
    if module.given_networks is not None and module.network_options:
        names = ", ".join(f"{{{name}}}" for name in module.network_options)
        return f"{{networks}} takes the place of the method's own, of which {names} speak: these have no effect."
    if module.compile_objective and not getattr(module, "recompute", True):
        return "Unrolled steps are compiled only where {recompute} is true."
    return None


def _shorter(steps: int, module: Distiller, data: str) -> str | None:
    """Return the recorded run of this method with fewer steps: on these data, or else on others."""
    ours = [record for record in _records() if record["method"] == type(module).__name__ and record["evaluations"]]
    shorter = [record for record in ours if 0 < record["steps"] * FEW <= steps]
    here = [record for record in shorter if (record["dataset"], record["ipc"]) == (data, module.ipc)]
    if not shorter or (data in TITLES and not here):
        return None
    # the longest and not the most accurate: that would be a choice on test images
    found = max(here or shorter, key=lambda each: (each["ipc"] == module.ipc, each["steps"]))
    accuracy = found["evaluations"][-1]["accuracy_mean"]
    where = "" if here else f" on {TITLES.get(found['dataset'], found['dataset'])} at {found['ipc']} per class"
    return f"A recorded run{where} reached {accuracy:.1f} % in {found['steps']:,} steps: {commands(found)[-1]}."


def _records() -> Iterator[Record]:
    """Yield the records beside the configs; a folder that is searched first hides no other."""
    seen = set()
    for folder in folders():
        for path in sorted(folder.rglob("*.results.json")):
            if (name := path.relative_to(folder)) not in seen:
                seen.add(name)
                yield from json.loads(path.read_text())
