"""Named ways to train a network on a small set, each as its paper or official code does it."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from lightning_dd.errors import UserError


@dataclass(frozen=True)
class Protocol:
    """How evaluation networks are trained: SGD with momentum, one drop of the learning rate.

    Attributes:
        name: as in `--evaluation.protocol`.
        source: where the protocol comes from.
        epochs: E; the loop runs E + 1 epochs, as the official code does. None: the set brings its own steps, and
            nothing of what follows matters but `random_real`.
        augmentation: None; `"dsa"` (one operation a mini-batch, parameters per image; arXiv 2102.08259), the operations
            being those that the images were distilled with; or `"dc_..."` (one of the named operations an image; the
            older augmentation of arXiv 2006.05929).
        learning_rate: multiplied by 0.1 once.
        momentum: its buffers restart at the drop.
        weight_decay: of SGD.
        batch_size: images in a step; shuffled each epoch, the last incomplete batch is kept.
        random_real: name of the protocol for random real images, where that of the set would not be fair to them.
    """

    name: str
    source: str
    epochs: int | None
    augmentation: str | None = None
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch_size: int = 256
    random_real: str | None = None

    @property
    def length(self) -> str:
        """How long a training is, in words."""
        return "the steps it was learned with" if self.epochs is None else f"{self.epochs} epochs"

    @property
    def total_epochs(self) -> int:
        """Epochs that are run: E + 1."""
        return self.epochs + 1

    @property
    def drop_after(self) -> int:
        """Index of the last epoch at the full learning rate: E // 2 + 1."""
        return self.epochs // 2 + 1

    def describe(self) -> dict[str, Any]:
        """Return plain values, for records and artefacts."""
        return asdict(self)


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("dc", "Dataset Condensation with Gradient Matching (arXiv 2006.05929)", 300),
        Protocol("dsa", "Differentiable Siamese Augmentation (arXiv 2102.08259)", 1000, "dsa"),
        Protocol("dm", "Distribution Matching (arXiv 2110.04181)", 1000, "dsa"),
        # step sizes that were learned with some images are the wrong ones for others, so those are trained as usual
        Protocol("dd", "Dataset Distillation (arXiv 1811.10959)", None, random_real="dc"),
        Protocol("common", "for comparing methods: DSA augmentation and hard labels for all", 1000, "dsa"),
    )
}


def find_protocol(name: str, epochs: int | None = None, data: str = "", batch_norm: bool = False) -> Protocol:
    """Return a named protocol in the form that a data set and a network have in it.

    Args:
        name: a key of `PROTOCOLS`.
        epochs: E in place of the published number.
        data: name of the data set; `dc` augments MNIST and trains longer on it.
        batch_norm: whether the network has batch normalisation; `dc` augments then too.

    Raises:
        UserError: the name is unknown or the number of epochs is not positive.
    """
    if name not in PROTOCOLS:
        raise UserError(f"There is no evaluation protocol '{name}'; choose one of {', '.join(PROTOCOLS)}.")
    if epochs is not None and epochs < 1:
        raise UserError(f"--evaluation.epochs is a number of epochs, at least 1, and cannot be {epochs}.")
    found = PROTOCOLS[name]
    if found.epochs is None and epochs is not None:
        raise UserError(f"Protocol {name} trains with the steps that a set brings: leave --evaluation.epochs out.")
    if name == "dc" and data == "mnist":
        found = replace(found, epochs=1000, augmentation="dc_crop_scale_rotate")
    elif name == "dc" and batch_norm:
        found = replace(found, epochs=1000, augmentation="dc_crop_noise")
    return found if epochs is None else replace(found, epochs=epochs)
