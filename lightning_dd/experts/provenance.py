"""`experts.json`: the data, preprocessing, network and training of the experts in a folder, and their accuracies."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lightning_dd.artifact.files import tensor_digest, write_json
from lightning_dd.artifact.preprocessing import Preprocessing
from lightning_dd.data.lazy import LazyImages
from lightning_dd.errors import UserError
from lightning_dd.experts.recording import read_facts
from lightning_dd.networks import Network
from lightning_dd.rng import generator

if TYPE_CHECKING:
    from lightning_dd.data import ImageData

DESCRIPTION = "experts.json"
FORMAT, FORMAT_VERSION = "lightning_dd.experts", 1
PROBE_LENGTH = 8
OTHER = {"image_shape": "images of another size", "class_names": "other classes", "labels": "images of other classes"}
TOLERANCE = 1e-3  # fitted on another machine, a whitening differs in its last digits


def describe_network(network: nn.Module) -> dict[str, Any]:
    """Return the name of a network and the shapes of its parameters, in plain values."""
    name = network.description if isinstance(network, Network) else type(network).__name__
    shapes = {name: "x".join(map(str, parameter.shape)) for name, parameter in network.named_parameters()}
    return {"name": name, "parameters": shapes}


def describe_data(data: "ImageData") -> dict[str, Any]:
    """Return the name, sizes, classes, labels and mean of the training images, in plain values."""
    images = data.train_images
    # no digest of the pixels: other machines may decode the same file a little differently
    mean = [] if isinstance(images, LazyImages) else images.mean((0, 2, 3), dtype=torch.float64)
    largest = 1 if images.dtype.is_floating_point else 255
    return {
        "name": data.name,
        "num_classes": data.num_classes,
        "num_images": len(data.train_labels),
        "image_shape": list(data.image_shape),
        "class_names": list(data.class_names),
        "labels": tensor_digest({"labels": data.train_labels}),
        "mean": [round(float(value) / largest, 5) for value in mean],
    }


def describe_preprocessing(preprocessing: Preprocessing, image_shape: tuple[int, int, int]) -> dict[str, Any]:
    """Return the plain values of a preprocessing, on the CPU, of images `(C, H, W)`.

    They are its `kind`, `mean` and `std`, the digest of a `whitening` (the one in the name of an artifact's file), and
    the first pixels of a preprocessed `probe`: the same numbers wherever it was fitted, up to rounding.
    """
    probe = preprocessing(torch.rand(image_shape, generator=generator(0, "probe")))
    return {
        "kind": preprocessing.kind,
        **preprocessing.normalization.describe(),
        "whitening": preprocessing.digest(),
        "probe": [round(value, 5) for value in probe.flatten()[:PROBE_LENGTH].tolist()],
    }


def other_data(ours: dict[str, Any], theirs: dict[str, Any]) -> str | None:
    """Return in which respect two descriptions are of other images; an older one knows fewer."""
    for part, words in OTHER.items():
        if part in theirs and ours[part] != theirs[part]:
            return words
    means = [torch.tensor(each.get("mean", [])) for each in (ours, theirs)]
    alike = not all(map(len, means)) or torch.allclose(*means, atol=TOLERANCE)
    return None if alike else "images of the same number and name"


def same_preprocessing(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Whether two descriptions are of the same preprocessing, up to rounding."""
    pairs = [(torch.tensor(ours[part]), torch.tensor(theirs[part])) for part in ("probe", "mean", "std")]
    alike = all(our.shape == their.shape and torch.allclose(our, their, atol=TOLERANCE) for our, their in pairs)
    return ours["kind"] == theirs["kind"] and alike


def read_description(folder: Path) -> dict[str, Any] | None:
    """Return the content of `experts.json`; None where there is no such file.

    Raises:
        UserError: it is damaged, or of a newer version.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        return None
    try:
        description = json.loads(path.read_text())
        version = description["format_version"] if description["format"] == FORMAT else None
    except (ValueError, KeyError, TypeError):
        version = None
    if version is None:
        raise UserError(f"{path} does not describe experts of this program, or is damaged; give another folder.")
    if version > FORMAT_VERSION:
        raise UserError(f"{path} has format version {version}, newer than this program; install a newer release.")
    return description


def write_description(folder: Path, ours: dict[str, Any], seconds: dict[int, float]) -> None:
    """Write `experts.json`: what the experts have in common, and the facts of each finished one in the folder.

    The seconds that their training took, by number, stand there alone: the files of equal experts are equal.

    Raises:
        UserError: it cannot be written.
    """
    before = (read_description(folder) or {"experts": []})["experts"]
    seconds = {each["number"]: each["seconds"] for each in before if "seconds" in each} | seconds
    experts = [read_facts(file) for file in sorted(folder.glob("expert_*.safetensors"))]
    for expert in experts:
        expert |= {"seconds": seconds[expert["number"]]} if expert["number"] in seconds else {}
    write_json(folder / DESCRIPTION, {"format": FORMAT, "format_version": FORMAT_VERSION, **ours, "experts": experts})


def check_description(folder: Path, ours: dict[str, Any]) -> None:
    """Refuse to add experts to a folder that holds those of another kind.

    Raises:
        UserError: it does.
    """
    theirs = read_description(folder)
    if theirs is None:
        return
    if not same_preprocessing(ours["preprocessing"], theirs["preprocessing"]):
        raise UserError(f"{folder} holds experts that saw other inputs; give another {{folder}}.")
    if other := other_data(ours["data"], theirs["data"]):
        raise UserError(f"{folder} holds experts that learned {other}; give another {{folder}}.")
    for part in ("data", "network", "training"):
        for name, value in ours[part].items():
            if name not in ("mean", *OTHER) and (given := theirs[part].get(name)) != value:
                values = " of another kind" if name == "parameters" else f" {given}, not {value}"
                raise UserError(f"{folder} holds experts with {part} {name}{values}; give another {{folder}}.")
