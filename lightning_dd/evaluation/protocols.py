"""Named ways to train a network on a small set, each as its paper or official code does it."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_dd.errors import UserError
from lightning_dd.evaluation.stable_rate import largest_stable_rate


@dataclass(frozen=True)
class Protocol:
    """How evaluation networks are trained: SGD with momentum, one drop of the learning rate, cross-entropy.

    Attributes:
        name: as in `--evaluation.protocol`.
        source: where the protocol comes from.
        epochs: E, as papers and records count them; the loop makes one more, as the official code does.
        augmentation: None; `"dsa"` (one operation a mini-batch, parameters per image; arXiv 2102.08259), the operations
            being those that the images were distilled with; `"dc_..."` (one of the named operations an image; the
            older augmentation of arXiv 2006.05929); or `"frepo_..."` (one of the named operations a mini-batch,
            parameters per image; arXiv 2206.00719).
        learning_rate: multiplied by 0.1 once.
        momentum: its buffers restart at the drop.
        weight_decay: of SGD.
        batch_size: images in a step; shuffled each epoch, the last incomplete batch is kept.
        labels: what is trained on: `hard`, class indices; `soft`, probabilities where the set has them; `targets`,
            those of a regression.
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
    labels: Literal["hard", "soft", "targets"] = "hard"
    random_real: str | None = None

    @property
    def total_epochs(self) -> int:
        """Epochs that are run: E + 1."""
        return self.epochs + 1

    @property
    def drop_after(self) -> int:
        """Index of the last epoch at the full learning rate: E // 2 + 1."""
        return self.epochs // 2 + 1

    def num_steps(self, num_images: int) -> int:
        """Return how many steps are made on a set of that size."""
        return self.total_epochs * self.steps_per_epoch(num_images)

    def steps_per_epoch(self, num_images: int) -> int:
        """Return in how many batches a set of that size is shown."""
        return math.ceil(num_images / self.batch_size)

    def rate_factor(self, step: int, num_images: int) -> float:
        """Return what the learning rate is multiplied by at a step."""
        return 1.0 if step // self.steps_per_epoch(num_images) <= self.drop_after else 0.1

    def starts_anew(self, step: int, num_images: int) -> bool:
        """Whether the optimizer forgets its momentum before a step."""
        return step == (self.drop_after + 1) * self.steps_per_epoch(num_images)

    def order(self, num_images: int, generator: torch.Generator) -> Tensor:
        """Return the order `(num_images,)` in which an epoch shows the images."""
        return torch.randperm(num_images, generator=generator)

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return a fresh optimizer for a network."""
        return torch.optim.SGD(
            network.parameters(), self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
        )

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of a batch: logits `(B, C)`; labels `(B,)` indices or `(B, C)`."""
        return F.cross_entropy(logits, labels)

    def highest_rate(self, network: nn.Module, images: Tensor) -> float:
        """Return the learning rate before any factor."""
        return self.learning_rate

    def for_recipe(self, recipe: dict[str, Any]) -> "Protocol":
        """Return the protocol with what a set's own recipe has to say in it."""
        return self

    def length(self, num_images: int) -> str:
        """Return how long a network trains, for the screen."""
        return f"{self.epochs} epochs"

    def describe(self) -> dict[str, Any]:
        """Return plain values, for records and artefacts."""
        return asdict(self)


@dataclass(frozen=True)
class LearnedRateProtocol(Protocol):
    """MTT's and DATM's: the set's learned step size in place of the learning rate, which sets without one keep."""

    def for_recipe(self, recipe: dict[str, Any]) -> Protocol:
        """Return the protocol with the recipe's `step_size`.

        Raises:
            UserError: it is not positive, so nothing can be trained with it.
        """
        step_size = recipe.get("step_size", self.learning_rate)
        if step_size <= 0:
            raise UserError(
                f"The set's learned step size is {step_size:g}, not positive: use --evaluation.protocol dsa."
            )
        return replace(self, learning_rate=step_size)


@dataclass(frozen=True)
class RecordedProtocol(Protocol):
    """DD's: the set brings its own steps, and nothing of what other protocols say matters but `random_real`."""

    def for_recipe(self, recipe: dict[str, Any]) -> Protocol:
        """Return the protocol as it is.

        Raises:
            UserError: the set was not learned with steps of its own.
        """
        if "inner" not in recipe:
            raise UserError("The set brings no steps of its own to train with; use --evaluation.protocol common.")
        return self

    def length(self, num_images: int) -> str:
        """Return how long a network trains, for the screen."""
        return "the steps it was learned with"


@dataclass(frozen=True)
class RegressionProtocol(Protocol):
    """What FRePo's and KIP's have in common: learned targets, and a length in steps.

    Attributes:
        epochs: None; a number takes the place of the published number of steps.
    """

    epochs: int | None = None
    labels: Literal["hard", "soft", "targets"] = "targets"

    def num_steps(self, num_images: int) -> int:
        """Return how many steps are made on a set of that size."""
        if self.epochs is not None:
            return self.epochs * self.steps_per_epoch(num_images)
        return self.published_steps(num_images)

    def published_steps(self, num_images: int) -> int:
        """Return the published number of steps."""
        raise NotImplementedError

    def starts_anew(self, step: int, num_images: int) -> bool:
        """Never: the rate changes smoothly."""
        return False

    def length(self, num_images: int) -> str:
        """Return how long a network trains, for the screen."""
        return f"{self.num_steps(num_images)} steps"


FREPO_STEPS = {10: 1000, 100: 2000, 200: 20_000, 400: 5000, 500: 5000, 1000: 10_000, 2000: 40_000, 5000: 40_000}
"""By number of images: those of the paper's sets. Another number takes the next larger's, or else the last."""


@dataclass(frozen=True)
class FRePoProtocol(RegressionProtocol):
    """Adam under half the squared error, the images always in the same order.

    The learning rate rises linearly over 500 steps and falls along a cosine to 1 %. The paper's networks have no
    normalisation: `--evaluation.network FRePoNet --evaluation.network.norm none`.
    """

    augmentation: str | None = "frepo_flip_color_crop_rotate_translate_cutout"
    learning_rate: float = 3e-4
    momentum: float = 0.0
    weight_decay: float = 0.0
    batch_size: int = 500
    warm_up: int = 500
    """Steps; no more than half of all."""

    def published_steps(self, num_images: int) -> int:
        """Return the published number of steps."""
        return FREPO_STEPS[min((size for size in FREPO_STEPS if size >= num_images), default=max(FREPO_STEPS))]

    def rate_factor(self, step: int, num_images: int) -> float:
        """Return what the learning rate is multiplied by at a step."""
        steps = self.num_steps(num_images)
        warm_up = min(self.warm_up, steps // 2)
        return step / warm_up if step < warm_up else 0.01 + 0.99 * _cosine((step - warm_up) / (steps - warm_up))

    def order(self, num_images: int, generator: torch.Generator) -> Tensor:
        """Return the images' own order."""
        return torch.arange(num_images)

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return a fresh optimizer for a network."""
        return torch.optim.Adam(network.parameters(), self.learning_rate)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return half the squared error, summed over classes, mean over the batch."""
        return 0.5 * (logits - labels).square().sum(1).mean()


@dataclass(frozen=True)
class KIPProtocol(RegressionProtocol):
    """SGD with momentum under half the mean squared error, the learning rate relative to the largest stable one.

    It falls along a cosine to 0 in 5,000 steps (of which the official code makes one more). The paper searches rate and
    weight decay on held-out images; the defaults are those of its notebook. Its networks: `--evaluation.network
    KIPConvNet`.

    Attributes:
        learning_rate: in units of the largest stable rate of each fresh network.
        weight_decay: the paper's l2 regularisation.
    """

    learning_rate: float = 1.0
    weight_decay: float = 1e-3
    batch_size: int = 100

    def published_steps(self, num_images: int) -> int:
        """Return the published number of steps."""
        return 5001

    def rate_factor(self, step: int, num_images: int) -> float:
        """Return what the learning rate is multiplied by at a step."""
        return _cosine(step / max(1, self.num_steps(num_images) - 1))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return half the squared error, mean over classes and the batch."""
        return 0.5 * (logits - labels).square().mean()

    def highest_rate(self, network: nn.Module, images: Tensor) -> float:
        """Return the learning rate before any factor."""
        return self.learning_rate * largest_stable_rate(network, images)


@dataclass(frozen=True)
class KernelProtocol(RegressionProtocol):
    """No network is trained: the set is scored by ridge regression with the kernel that its recipe names.

    Attributes:
        function: name of the kernel.
        depth: of its infinitely wide network.
        ridge: relative to the mean of the kernel's diagonal.
    """

    function: str = "fc_ntk"
    depth: int = 1
    ridge: float = 1e-6

    @property
    def kernel(self) -> str:
        """The kernel's name, in place of a network's."""
        return f"{self.function} (depth {self.depth})"

    def for_recipe(self, recipe: dict[str, Any]) -> Protocol:
        """Return the protocol with the recipe's kernel.

        Raises:
            UserError: the set was not distilled with a kernel.
        """
        kernel = recipe.get("kernel")
        if kernel is None:
            raise UserError(
                "--evaluation.protocol krr scores a set by its own kernel, and this one has none: use another protocol."
            )
        return replace(self, function=kernel["name"], depth=kernel["depth"], ridge=kernel["ridge"])

    def length(self, num_images: int) -> str:
        """Return what takes the place of training, for the screen."""
        return "infinite width"


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


def find_protocol(name: str, epochs: int | None = None, data: str = "", batch_norm: bool = False) -> Protocol:
    """Return a named protocol in the form that a data set and a network have in it.

    Args:
        name: a key of `PROTOCOLS`.
        epochs: E in place of the published number.
        data: name of the data set; `dc` augments MNIST and trains longer on it, `frepo` flips neither MNIST nor
            Fashion-MNIST.
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
    return found if epochs is None else replace(found, epochs=epochs)


def _cosine(progress: float) -> float:
    """Return 1 at the start and 0 at the end."""
    return 0.5 * (1 + math.cos(math.pi * progress))
