"""Named ways to train a network on a small set, each as its paper or official code does it."""

from dataclasses import replace

from lightning_dd.errors import UserError
from lightning_dd.evaluation.protocol import LearnedRateProtocol, Protocol, RecordedProtocol
from lightning_dd.evaluation.regression import FRePoProtocol, KernelProtocol, KIPProtocol

_COMMON = "for comparing methods: DSA augmentation for all, "

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("dc", "Dataset Condensation with Gradient Matching (arXiv 2006.05929)", 300),
        Protocol("dsa", "Differentiable Siamese Augmentation (arXiv 2102.08259)", 1000, "dsa"),
        Protocol("dm", "Distribution Matching (arXiv 2110.04181)", 1000, "dsa"),
        LearnedRateProtocol("mtt", "Matching Training Trajectories (arXiv 2203.11932)", 1000, "dsa"),
        LearnedRateProtocol(
            "datm",
            "Difficulty-Aligned Trajectory Matching (arXiv 2310.05773)",
            1000,
            "dsa",
            batch_size=128,
            labels="soft",
        ),
        # step sizes that were learned with some images are the wrong ones for others, so those are trained as usual
        RecordedProtocol("dd", "Dataset Distillation (arXiv 1811.10959)", None, random_real="dc"),
        FRePoProtocol("frepo", "Neural Feature Regression (arXiv 2206.00719)"),
        KIPProtocol("kip", "Infinitely Wide Convolutional Networks (arXiv 2107.13034)"),
        KernelProtocol("krr", "Kernel Ridge-Regression (arXiv 2011.00050): no network, the kernel itself"),
        Protocol("dcbench", "DC-BENCH (arXiv 2207.09639), without augmentation", 300),
        Protocol("dcbench_dsa", "DC-BENCH (arXiv 2207.09639), with DSA augmentation", 1000, "dsa"),
        Protocol("common", f"{_COMMON}hard labels", 1000, "dsa"),
        Protocol("common_soft", f"{_COMMON}soft labels where a set has them", 1000, "dsa", labels="soft"),
    )
}


DIGITS = ("digits", "mnist", "svhn")
"""Data sets whose images mean something else, or nothing, in a mirror."""


def find_protocol(name: str, epochs: int | None = None, data: str = "", batch_norm: bool = False) -> Protocol:
    """Return a named protocol in the form that a data set and a network have in it.

    Args:
        name: a key of `PROTOCOLS`.
        epochs: E in place of the published number.
        data: name of the data set; `dc` augments MNIST and trains longer on it, `frepo` flips neither MNIST nor
            Fashion-MNIST, and no digit is flipped by DSA's operations, unless a set was distilled with them.
        batch_norm: whether the network has batch normalisation; `dc` augments then too.

    Raises:
        UserError: the name is unknown or the number of epochs is not positive.
    """
    if name not in PROTOCOLS:
        raise UserError(f"There is no evaluation protocol '{name}'; choose one of {', '.join(PROTOCOLS)}.")
    if epochs is not None and epochs < 1:
        raise UserError(f"--evaluation.epochs is a number of epochs, at least 1, and cannot be {epochs}.")
    found = PROTOCOLS[name]
    if isinstance(found, RecordedProtocol) and epochs is not None:
        raise UserError(f"Protocol {name} trains with the steps that a set brings: leave --evaluation.epochs out.")
    if isinstance(found, KernelProtocol) and epochs is not None:
        raise UserError(f"Protocol {name} trains no network: leave --evaluation.epochs out.")
    if name == "dc" and data == "mnist":
        found = replace(found, epochs=1000, augmentation="dc_crop_scale_rotate")
    elif name == "dc" and batch_norm:
        found = replace(found, epochs=1000, augmentation="dc_crop_noise")
    elif name == "frepo" and data in ("mnist", "fashion_mnist"):
        found = replace(found, augmentation=found.augmentation.replace("flip_", ""))
    elif found.augmentation == "dsa" and data in DIGITS:
        found = replace(found, augmentation="dsa_color_crop_cutout_scale_rotate")
    return found if epochs is None else replace(found, epochs=epochs)
