"""What a trajectory belongs to: the data, what they went through, and the network; and whether a run is of the same."""

from typing import Any

import torch
from torch import nn

from lightning_dd.artifact.preprocessing import Preprocessing
from lightning_dd.networks import Network
from lightning_dd.rng import generator

PROBE_LENGTH = 8
TOLERANCE = 1e-3  # fitted on another machine, a whitening differs in its last digits


def describe_network(network: nn.Module) -> dict[str, Any]:
    """Return the name of a network and the shapes of its parameters, in plain values."""
    shapes = {name: "x".join(map(str, parameter.shape)) for name, parameter in network.named_parameters()}
    return {"name": name_of(network), "parameters": shapes}


def name_of(network: nn.Module) -> str:
    """Return what a network is called in tables and messages."""
    return network.description if isinstance(network, Network) else type(network).__name__


def describe_preprocessing(preprocessing: Preprocessing, image_shape: tuple[int, int, int]) -> dict[str, Any]:
    """Return a preprocessing in plain values.

    Args:
        preprocessing: on the CPU.
        image_shape: `(C, H, W)`.

    Returns:
        Its `kind`, `mean` and `std`, the digest of a `whitening` (the one in the name of an artifact's file), and what
        it makes of the first pixels of a `probe`: the same numbers wherever it was fitted, up to rounding.
    """
    probe = preprocessing(torch.rand(image_shape, generator=generator(0, "probe")))
    return {
        "kind": preprocessing.kind,
        **preprocessing.normalization.describe(),
        "whitening": preprocessing.digest(),
        "probe": [round(value, 5) for value in probe.flatten()[:PROBE_LENGTH].tolist()],
    }


def same_preprocessing(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Whether two descriptions are of the same preprocessing, up to rounding."""
    probes = torch.tensor(ours["probe"]), torch.tensor(theirs["probe"])
    return ours["kind"] == theirs["kind"] and torch.allclose(*probes, atol=TOLERANCE)
