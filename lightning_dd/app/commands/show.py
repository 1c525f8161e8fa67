"""Say what a distilled set is and how to train on it: `show ARTIFACT`.

An artifact is a run's folder, that of several runs (the newest is taken), a distilled.safetensors, the name of a set
that comes with the program (`list sets`), or hf:org/name on the Hugging Face hub.
"""

from pathlib import Path
from textwrap import indent
from typing import Any

from lightning_dd.app.commands import parser

LABELS = {
    "index": "class indices",
    "probabilities": "probabilities, one a class",
    "logits": "logits, one a class",
    "targets": "targets of a regression, one a class: squared error, not cross-entropy",
}
NAMES_SHOWN = 10


def main(arguments: list[str]) -> int:
    """Print what a set is and return the exit code.

    Raises:
        UserError: there is no set, or it cannot be read.
    """
    made = parser("show")
    made.add_argument("artifact", type=Path, metavar="ARTIFACT", help="a run's folder, a distilled set, or hf:org/name")
    given = made.parse_args(arguments).artifact
    from lightning_dd.artifact.dataset import FILE, load
    from lightning_dd.artifact.files import newest_run
    from lightning_dd.artifact.usage import usage

    distilled = load(given)
    path = newest_run(given, FILE) if given.is_dir() else given
    facts = {**_facts(distilled), **({} if distilled.folder != path.parent else _places(path))}
    print(_heading(distilled))
    for name, fact in facts.items():
        if fact:
            print(f"  {name:15}{fact}")
    print(f"\nTrain on it:\n\n{indent(usage(str(given), distilled), '  ')}")
    return 0


def _heading(distilled: Any) -> str:
    made = " on ".join(str(distilled.info[key]) for key in ("method", "dataset") if key in distilled.info)
    shape = "x".join(map(str, distilled.image_shape))
    most = "" if distilled.balanced else "at most "
    return f"{made or 'Distilled set'}: {len(distilled)} images of {shape}, {most}{distilled.ipc} stored per class"


def _facts(distilled: Any) -> dict[str, str]:
    from lightning_dd.app.commands.list import accuracy

    info, names, more = distilled.info, distilled.class_names, len(distilled.class_names) - NAMES_SHOWN
    recipe = [f"{name} {_short(value)}" for name, value in distilled.recipe.items() if value is not None]
    facts = {
        "classes": f"{len(names)}: {', '.join(names[:NAMES_SHOWN])}{f' and {more} more' if more > 0 else ''}",
        "labels": LABELS[distilled.label_kind],
        "recipe": ", ".join([*recipe, *dict.fromkeys(name.partition(".")[0] for name in distilled.tensors)]),
        "input": f"preprocess(images): {distilled.preprocessing.kind}",
        "paper": info.get("paper", ""),
        "derived from": info.get("derived_from", ""),
        "steps": f"{info['steps']:,}" if "steps" in info else "",
        "accuracy": "" if "selected" in info else accuracy(info),
        "made by": ", then ".join(info.get("commands") or [info.get("command", "")]),
    }
    for last in info.get("evaluations", [])[-1:]:
        if facts["accuracy"] and last.get("random_real_mean") is not None:
            facts["accuracy"] += f"; random real images {last['random_real_mean']:.1f} %"
        if facts["accuracy"] and last.get("num_test_images"):
            facts["accuracy"] += f"; {last['num_test_images']:,} images of the {last['split']} split"
    return facts


def _short(value: Any) -> str:
    """Return a network, or a teacher by its network, as `ConvNet(width 32)`, and any other value as text."""
    value = value.get("network", value) if isinstance(value, dict) else value
    if not isinstance(value, dict) or "class_path" not in value:
        return str(value)
    given = value.get("init_args") or {}
    options = ", ".join(f"{name} {option}" for name, option in given.items() if option is not None)
    return f"{value['class_path'].rpartition('.')[2]}({options})"


def _places(path: Path) -> dict[str, str]:
    picture = path.with_suffix(".png")
    return {
        "file": str(path),
        "picture": str(picture) if picture.is_file() else "none yet: distilled.save_picture(PATH)",
    }
