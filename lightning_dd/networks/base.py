"""What every network of the collection can do: features, logits, and fresh weights under a given generator."""

import math
from abc import ABC, abstractmethod
from typing import TypeVar

import torch
from torch import Tensor, nn

from lightning_dd.runtime.options import CheckedOptions

_Self = TypeVar("_Self", bound="Network")

_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_NORMS = (*BATCH_NORMS, nn.GroupNorm, nn.LayerNorm)


class Network(CheckedOptions, nn.Module, ABC):
    """A classifier that also shows its features and can draw its weights anew.

    A subclass defines `features` and either a `classifier` on top of them or its own `forward`.

    Shape:
        - Input: `(N, C, H, W)` in normalised or whitened space.
        - Features: `(N, F)`.
        - Output: logits `(N, num_classes)`.
    """

    option_group = None
    classifier: nn.Module
    variant: str = ""
    """What sets the network apart from its default, for tables."""

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Return what the classifier sees, φ(x), flattened to `(N, F)`."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits `(N, num_classes)`."""
        return self.classifier(self.features(x))

    @torch.no_grad()
    def initialize(self: _Self, generator: torch.Generator) -> _Self:
        """Draw all weights anew, in place; the global generator is not touched.

        Weights and biases of convolutions and linear layers are uniform in ±1/sqrt(fan_in), PyTorch's default, unless
        `draw_layer` says otherwise; norm layers get scale 1 and shift 0, and running statistics start again.

        Args:
            generator: on the device of the parameters.

        Returns:
            The network itself.

        Raises:
            TypeError: a layer with parameters of its own that this method does not know; its network overrides this.
        """
        for module in self.modules():
            if isinstance(module, _WEIGHTED):
                self.draw_layer(module, generator)
            elif isinstance(module, _NORMS):
                # neither scale nor shift is random, and the statistics start at mean 0, variance 1
                module.reset_parameters()
            elif next(module.parameters(recurse=False), None) is not None:
                raise TypeError(f"{type(self).__name__}.initialize does not know how to draw {type(module).__name__}.")
        return self

    def draw_layer(self, layer: nn.Module, generator: torch.Generator) -> None:
        """Draw a convolution or a linear layer anew, in place; a network with another distribution overrides this."""
        # kaiming_uniform with a = sqrt(5), PyTorch's default for weights, is this very bound
        bound = 1 / math.sqrt(layer.weight[0].numel())
        layer.weight.uniform_(-bound, bound, generator=generator)
        if layer.bias is not None:
            layer.bias.uniform_(-bound, bound, generator=generator)

    @property
    def description(self) -> str:
        """A short name for tables: the class, and in brackets what sets it apart from its default."""
        name = type(self).__name__
        return f"{name} ({self.variant})" if self.variant else name

    @property
    def mixes_examples(self) -> bool:
        """Whether an example's output in training mode depends on the others of its batch (BatchNorm)."""
        return has_batch_norm(self)


def has_batch_norm(network: nn.Module) -> bool:
    """Return whether a network has batch normalization anywhere."""
    return any(isinstance(module, BATCH_NORMS) for module in network.modules())
