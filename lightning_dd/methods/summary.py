"""The summary of a method at the start of a run, by title."""

from typing import Any

from torch import nn

from lightning_dd.artifact.codecs import Pixels
from lightning_dd.artifact.synthetic import SyntheticSet

Rows = dict[str, str]


def network_text(network: nn.Module) -> str:
    """Return a network's name and size."""
    name = getattr(network, "description", type(network).__name__)
    return f"{name}, {sum(parameter.numel() for parameter in network.parameters()):,} parameters"


def set_text(synthetic: SyntheticSet) -> str:
    """Return what is learned, and what it decodes to."""
    codec, labels = synthetic.codec, synthetic.labels
    images = f"{len(synthetic):,} images, {synthetic.images_per_class} per class, of {shape_text(codec.image_shape)}"
    learned = f"; {labels.values.numel():,} numbers of labels, learned ({labels.kind})" if labels.learned else ""
    if isinstance(codec, Pixels):
        return images + learned
    return (
        f"{codec.budget():,} numbers by {codec.kind}, {codec.ipc} images' worth per class{learned}; decoded: {images}"
    )


def shape_text(shape: tuple[int, int, int]) -> str:
    """Return `(C, H, W)` in words."""
    channels, height, width = shape
    return f"{height}x{width} pixels in {'gray' if channels == 1 else 'color'}"


def method_text(name: str, steps: int, done: int, published: int | None, resolved: dict[str, Any]) -> str:
    """Return the length of a run beside the published one, and what its options came to."""
    length = f"{steps:,} step{'s' * (steps > 1)}" if steps > 0 else "as long as the trainer says"
    said = "" if published is None else " (as published)" if steps == published else f" (published: {published:,})"
    values = ", ".join(f"{option} {value}" for option, value in resolved.items())
    return f"{name}: {length}{said}{f', {done:,} of them done' if done else ''}{f'; {values}' if values else ''}"
