"""Scoring a set by kernel ridge regression, without any network."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.labels import Regime
from lightning_dd.errors import UserError
from lightning_dd.evaluation.protocol import Protocol
from lightning_dd.losses import fc_ntk, solve_ridge


@dataclass(frozen=True)
class KernelProtocol(Protocol):
    """No network is trained: the set is scored by ridge regression with the kernel that its recipe names.

    Attributes:
        function: name of the kernel.
        depth: of its infinitely wide network.
        ridge: relative to the mean of the kernel's diagonal.
    """

    trains_networks = False
    instead_of_epochs = "trains no network"

    epochs: int | None = None
    labels: Regime = "targets"
    function: str = "fc_ntk"
    depth: int = 1
    ridge: float = 1e-6

    def bind(self, recipe: dict[str, Any]) -> "KernelProtocol":
        """Return the protocol with the recipe's kernel; a `UserError` where it has none."""
        kernel = recipe.get("kernel")
        if kernel is None or kernel["name"] != self.function:
            raise UserError(
                f"{{evaluation.protocol}} krr scores a set by its own kernel, {self.function}, and this one has none: "
                "use another protocol."
            )
        return replace(self, function=kernel["name"], depth=kernel["depth"], ridge=kernel["ridge"])

    def fit(
        self,
        fresh: Callable[[], nn.Module],
        images: Tensor,
        labels: Tensor,
        distilled: DistilledDataset,
        generator: torch.Generator,
    ) -> "KernelRegression":
        """Return the regression from the images `(N, C, H, W)` to their targets `(N, num_classes)`."""
        return KernelRegression(images, labels, self.function, self.depth, self.ridge)

    def length(self, num_images: int) -> str:
        """Return what takes the place of training, for the screen."""
        return "infinite width"


class KernelRegression:
    """The ridge regression from prepared images `(N, C, H, W)` to targets `(N, num_classes)`, as a classifier."""

    def __init__(self, images: Tensor, targets: Tensor, name: str, depth: int, ridge: float) -> None:
        self.images, self.depth = images, depth
        self.description = f"{name} (depth {depth})"  # in place of a network's name
        with torch.no_grad():
            self.weights = solve_ridge(fc_ntk(images, depth=depth), targets, ridge).weights

    def __call__(self, images: Tensor) -> Tensor:
        """Return predictions `(n, num_classes)` for images `(n, C, H, W)`."""
        return fc_ntk(images, self.images, depth=self.depth) @ self.weights
