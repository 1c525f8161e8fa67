"""The base of all networks: features, logits, and new weights under a given generator."""

import inspect
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lightning_dd.runtime.options import CheckedOptions

_Self = TypeVar("_Self", bound="Network")

_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_NORMS = (*BATCH_NORMS, nn.GroupNorm, nn.LayerNorm)


class Network(CheckedOptions, nn.Module):
    """A classifier that also gives its features and can re-initialize itself.

    A subclass defines `blocks` or `trunk`, and either a `classifier` on top of the features or its own `forward`. Its
    constructor takes `image_shape`, `(C, H, W)`, and `num_classes`, the number of logits, before its own options.

    Shape:
        - Input: `(N, C, H, W)` in normalized or whitened space.
        - Features: `(N, F)`.
        - Output: logits `(N, num_classes)`.
    """

    option_group = None
    classifier: nn.Module
    variant: str = ""
    """Options that differ from the defaults, for tables."""

    def __new__(cls: type[_Self], *arguments: Any, **options: Any) -> _Self:
        """Keep what the network is made from; copies and pickles bring their own."""
        network = super().__new__(cls)
        network.__dict__["_made_from"] = arguments[2:], options
        return network

    @property
    def made_from(self) -> dict[str, Any]:
        """The class and its options in plain values, as configs write them: what makes the network again."""
        positional, options = self._made_from
        names = list(inspect.signature(type(self)).parameters)[2:]
        given = dict(zip(names, positional, strict=False)) | options
        given = {name: value for name, value in given.items() if name not in ("image_shape", "num_classes")}
        plain = json.loads(json.dumps(given, default=str))  # numbers of restricted types become Python's own
        return {"class_path": f"{type(self).__module__}.{type(self).__qualname__}", "init_args": plain}

    @property
    def written_in(self) -> type:
        """The class whose code the network is, for what depends on it."""
        return type(self)

    def trunk(self) -> Iterable[nn.Module]:
        """Return the modules that lead to the features, in order."""
        return self.blocks

    def flatten(self, maps: Tensor) -> Tensor:
        """Return the last module's output as features `(N, F)`."""
        return maps.flatten(1)

    def features(self, x: Tensor, layers: Sequence[int] | None = None) -> Tensor | list[Tensor]:
        """Return the classifier's input φ(x), `(N, F)`, or what chosen stages give.

        Args:
            x: `(N, C, H, W)`.
            layers: indices of stages. A stage is a layer with weights (a convolution, a residual block) and what
                follows it up to the next one: normalization, activation, pooling.

        Returns:
            Features, or a list with the output `(N, ...)` of each chosen stage.
        """
        if layers is None:
            for module in self.trunk():
                x = module(x)
            return self.flatten(x)
        outputs: list[Tensor] = []
        for module in self.trunk():
            x = module(x)
            if _has_weights(module):
                outputs.append(x)
            elif outputs:
                outputs[-1] = x
        return [outputs[index] for index in layers]

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits `(N, num_classes)`."""
        return self.classifier(self.features(x))

    @torch.no_grad()
    def initialize(self: _Self, generator: torch.Generator) -> _Self:
        """Re-initialize all weights in place and return the network; the global generator is not touched.

        Convolutions and linear layers are initialized by `draw_layer`; norm layers get scale 1, shift 0 and new running
        statistics.

        Args:
            generator: on the device of the parameters.

        Raises:
            TypeError: a layer of an unknown kind has parameters; its network overrides this.
        """
        for module in self.modules():
            if isinstance(module, _WEIGHTED):
                self.draw_layer(module, generator)
            elif isinstance(module, _NORMS):
                module.reset_parameters()
            elif next(module.parameters(recurse=False), None) is not None:
                raise TypeError(f"{type(self).__name__}.initialize does not know how to draw {type(module).__name__}.")
        return self

    def draw_layer(self, layer: nn.Module, generator: torch.Generator) -> None:
        """Initialize a convolution or linear layer in place, uniformly in ±1/sqrt(fan_in), PyTorch's default."""
        bound = 1 / math.sqrt(layer.weight[0].numel())
        layer.weight.uniform_(-bound, bound, generator=generator)
        if layer.bias is not None:
            layer.bias.uniform_(-bound, bound, generator=generator)

    @property
    def description(self) -> str:
        """A short name for tables: the class, and in brackets its variant."""
        name = type(self).__name__
        return f"{name} ({self.variant})" if self.variant else name


def has_batch_norm(network: nn.Module) -> bool:
    """Return whether outputs in training mode depend on the other examples of the batch."""
    return any(isinstance(module, BATCH_NORMS) for module in network.modules())


def _has_weights(module: nn.Module) -> bool:
    own = (part for part in module.modules() if not isinstance(part, _NORMS))  # the weights of LayerNorm are maps
    return any(parameter.ndim > 1 for part in own for parameter in part.parameters(recurse=False))
