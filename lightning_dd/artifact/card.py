"""The card of a shared data set: a head in YAML for the hub, and text for people."""

import re
from typing import TYPE_CHECKING, Any

from lightning_dd.artifact.exports import features
from lightning_dd.artifact.usage import SCORED, usage

if TYPE_CHECKING:
    from lightning_dd.artifact.dataset import DistilledDataset

SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
SOURCES = {
    "mnist": "ylecun/mnist",
    "fashion_mnist": "zalando-datasets/fashion_mnist",
    "svhn": "ufldl-stanford/svhn",
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
    "tiny_imagenet": "zh-plus/tiny-imagenet",
}
"""Real data sets on the hub."""
LABELS = {
    "index": "Labels are class indices.",
    "probabilities": "Each image has probabilities of the classes, in a column of their own; `label` is the likeliest.",
    "logits": "Each image has learned logits, in a column of their own; `label` is the largest.",
    "targets": "Each image has targets of a regression, in a column of their own; `label` is the largest.",
}
FILES = """\
## Files

- `distilled.safetensors` is the distilled set: images as they were learned, labels, normalization, and how to train.
- `data/` holds a copy for viewers, clipped to the valid range and rounded to 8 bits; trained on, it scores differently.
- `results.json` is the record of the run, `config.yaml` what made it."""


def card(distilled: "DistilledDataset", size: int, license: str | None, more: dict[str, Any] | None, place: str) -> str:
    """Return the card of a set.

    Args:
        distilled: whose info names no folders of a machine.
        size: of the Parquet file, in bytes.
        license: of the set.
        more: entries of the head in place of ours.
        place: what `lightning_dd.load` takes.
    """
    import yaml

    head = {**_head(distilled, size, license), **(more or {})}
    parts = [f"# {head['pretty_name']}", _summary(distilled), _use(distilled, place), FILES]
    parts += [_accuracy(distilled), _making(distilled), _license(license)]
    text = "\n\n".join(part for part in parts if part)
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n\n{text}\n"


def _head(distilled: "DistilledDataset", size: int, license: str | None) -> dict[str, Any]:
    info, number = distilled.info, len(distilled)
    made, paper = info.get("method"), re.search(r"arXiv (\d{4}\.\d{4,5})", str(info.get("paper", "")))
    source = SOURCES.get(str(info.get("dataset")))
    tags = ["dataset-distillation", "lightning-dd", f"ipc-{distilled.ipc}"]
    tags += [made.lower()] if made else []
    tags += [f"arxiv:{paper[1]}"] if paper else []
    columns = [{"name": "image", "dtype": "image"}]
    names = {str(index): name for index, name in enumerate(distilled.class_names)}
    columns.append({"name": "label", "dtype": {"class_label": {"names": names}}})
    columns += [{"name": name, "sequence": "float32"} for name in features(distilled) if name not in ("image", "label")]
    split = {"name": "train", "num_bytes": size, "num_examples": number}
    head = {
        "license": license,
        "pretty_name": _title(distilled),
        "task_categories": ["image-classification"],
        "size_categories": [next((name for limit, name in SIZES.items() if number < limit), "n>1M")],
        "source_datasets": [source] if source else None,
        "tags": tags,
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}],
        "dataset_info": {"features": columns, "splits": [split], "download_size": size, "dataset_size": size},
    }
    return {name: value for name, value in head.items() if value is not None}


def _title(distilled: "DistilledDataset") -> str:
    info = distilled.info
    by = f" by {info['method']}" if "method" in info else ""
    return f"{info.get('dataset', 'A data set')} distilled{by}, {_per_class(distilled)}"


def _per_class(distilled: "DistilledDataset") -> str:
    number = distilled.ipc if distilled.balanced else len(distilled)
    return f"{number} image{'s' if number > 1 else ''}{' per class' if distilled.balanced else ''}"


def _summary(distilled: "DistilledDataset") -> str:
    info, shape = distilled.info, "x".join(map(str, distilled.image_shape))
    decoded = ""
    if distilled.codec is not None:
        decoded = f" They are decoded from what {distilled.ipc} images per class take, by {distilled.codec.kind}."
    part = f" This is a part of the set: {len(info['selected'])} classes." if "selected" in info else ""
    origin = info.get("paper") or info.get("derived_from") or ""
    origin = f" Method: {origin}." if origin else ""
    return (
        f"{len(distilled)} synthetic images of {shape}, of {distilled.num_classes} classes, to train networks on that "
        f"recognize real ones.{decoded} {LABELS[distilled.label_kind]}{part}{origin}\n\n"
        "![The distilled images](distilled.png)"
    )


def _use(distilled: "DistilledDataset", place: str) -> str:
    return f'## Use\n\n```python\n# pip install "lightning-dd[hub]"\n{usage(place, distilled)}\n```'


def _accuracy(distilled: "DistilledDataset") -> str:
    info = distilled.info
    records = info.get("evaluations") or []
    if not records or "selected" in info:
        return ""
    lines = ["## Accuracy", "", "| network | protocol | networks | distilled (%) | random real images (%) |"]
    lines.append("|---|---|--:|--:|--:|")
    for record in (each for each in records if each["step"] == records[-1]["step"]):
        cells = [record["network"], record["protocol"], record["num_networks"]]
        several = record["num_networks"] > 1
        for name in ("accuracy", "random_real"):
            mean, spread = record[f"{name}_mean"], record.get(f"{name}_std")
            cells.append("" if mean is None else f"{mean:.1f}" + (f" ± {spread:.1f}" if several else ""))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    split = records[-1].get("split", "test")
    how = SCORED.get(records[-1]["protocol"], "Networks trained on these images alone.")
    lines += ["", f"{how} Tested on the {split} split of the real ones."]
    return "\n".join(lines)


def _making(distilled: "DistilledDataset") -> str:
    info = distilled.info
    place, cost = info.get("environment", {}), info.get("cost") or {}
    steps = f"{info['steps']:,}" if "steps" in info else ""
    if steps and info.get("published_steps"):
        steps += f" (published: {info['published_steps']:,})"
    seconds, before = cost.get("seconds"), cost.get("seconds_before")
    took = f"{_duration(seconds)} on {place.get('device', 'one device')}" if seconds else ""
    took += f", after {_duration(before)} of networks trained beforehand" if took and before else ""
    packages = ("lightning_dd", "torch", "lightning", "torchvision", "kornia", "python")
    facts = {
        "steps": steps,
        "seed": str(info.get("seed", "")),
        "time": took,
        "memory": f"{cost['peak_memory_bytes'] / 2**30:.2f} GiB" if cost.get("peak_memory_bytes") else "",
        "versions": ", ".join(f"{name} {place[name]}" for name in packages if place.get(name)),
        "commit": place.get("commit") or "",
        "departures": "; ".join(map(str, info.get("data_departures") or [])),
        "command": f"`{info['command']}`" if info.get("command") else "",
    }
    lines = [f"- {name}: {fact}" for name, fact in facts.items() if fact]
    return "\n".join(["## How it was made", "", *lines]) if lines else ""


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:,.1f} minutes"


def _license(license: str | None) -> str:
    stated = f"`{license}`" if license else "not stated by who made the set"
    return (
        f"## License\n\n{stated[0].upper()}{stated[1:]}. Distilled images are derived from the real ones: mind theirs."
    )
