"""Records of runs, in words for tables."""

from collections.abc import Callable, Sequence
from typing import Any

TITLES = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "tiny_imagenet": "Tiny-ImageNet",
}

PETA = 1e15
Spent = Callable[[dict[str, Any]], float | None]
"""A cost of a run up to one of its evaluations; None if not recorded."""


def method_of(record: dict[str, Any]) -> str:
    """Return the method, and of a coreset its rule."""
    selection = record["config"]["model"]["init_args"].get("selection") if record["method"] == "Coreset" else None
    return f"Coreset, {selection}" if selection else record["method"]


def commands(record: dict[str, Any]) -> list[str]:
    """Return the commands of a run: several where it was stopped and went on."""
    return record.get("commands", [record["command"]])


def of_split(evaluation: dict[str, Any]) -> str:
    """Return words for an accuracy on other images than the test images; none for one on these."""
    split = evaluation.get("split", "test")
    return "" if split == "test" else f", {split.replace('_', '-')} images"


def figure(evaluation: dict[str, Any], of: str = "accuracy") -> str:
    """Return mean and standard deviation for people; the accuracy of one network has no spread."""
    mean, std = evaluation.get(f"{of}_mean"), evaluation.get(f"{of}_std")
    if mean is None:
        return "-"
    # a kernel is one, and random real images are drawn anew for it
    single = evaluation["num_networks"] == 1 and (of == "accuracy" or not std)
    return f"{mean:.1f}" if single else f"{mean:.1f} ± {std:.1f}"


def seconds_spent(evaluation: dict[str, Any]) -> float | None:
    """Return the seconds up to an evaluation, networks trained beforehand included; None if not recorded."""
    return total_seconds(evaluation.get("spent") or {})


def total_seconds(cost: dict[str, Any]) -> float | None:
    """Return the seconds of a cost, networks trained beforehand included; None if not recorded."""
    return None if cost.get("seconds") is None else cost["seconds"] + (cost.get("seconds_before") or 0)


def operations_spent(evaluation: dict[str, Any]) -> int | None:
    """Return the operations up to an evaluation, networks trained beforehand included; None if not recorded."""
    spent = evaluation.get("spent") or {}
    parts = spent.get("operations"), spent.get("operations_before", 0)
    return None if None in parts else sum(parts)


def all_recorded(spent: Spent, evaluations: Sequence[dict[str, Any]]) -> bool:
    """Return whether all evaluations of a run have this cost in their records."""
    return bool(evaluations) and all(spent(entry) is not None for entry in evaluations)
