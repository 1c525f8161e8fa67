"""Networks of other libraries, by name."""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightning_dd.errors import UserError
from lightning_dd.networks.base import Network


class ExternalNetwork(Network, ABC):
    """A module of another library: its last linear layer is the classifier, whose input is the features.

    A subclass writes `construct`.

    Args:
        name: of the network in the library.
        options: more arguments of its constructor.

    Raises:
        UserError: the network cannot be made, does not end in a linear layer, or does not take such images.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        name: str = "resnet18",
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        self.num_classes = num_classes
        self.name = name
        self.options = options or {}
        self.body, self.classifier = self._made()
        self._try_an_image()

    @abstractmethod
    def construct(self) -> nn.Module:
        """Return the module, with weights from the global generator."""

    @property
    def description(self) -> str:
        """The library's name for the network."""
        return f"{type(self).__name__.lower()} {self.name}"

    def trunk(self) -> Iterable[nn.Module]:
        """Return the modules that lead to the last linear layer, in order: one, where the library has no sequence."""
        return self.body if isinstance(self.body, nn.Sequential) else [self.body]

    def initialize(self, generator: torch.Generator) -> "ExternalNetwork":
        """Re-initialize all weights in place as the library does, and return the network.

        Args:
            generator: on the device of the parameters.
        """
        seed = torch.randint(2**63 - 1, (), generator=generator, device=generator.device).item()
        with torch.random.fork_rng(devices=[]):  # the library knows no other generator than the global one
            torch.default_generator.manual_seed(seed)
            body, classifier = self._made()
        self.body.load_state_dict(body.state_dict())
        self.classifier.load_state_dict(classifier.state_dict())
        return self

    def from_library(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return weights by the library's names by those that they have here."""
        last = f"{self._last}."
        return {
            f"classifier.{name.removeprefix(last)}" if name.startswith(last) else f"body.{name}": tensor
            for name, tensor in state.items()
        }

    def _made(self) -> tuple[nn.Module, nn.Module]:
        """Return a new module without its last linear layer, and that layer."""
        try:
            model = self.construct()
        except (TypeError, ValueError, AssertionError, RuntimeError) as error:  # each library's own refusals
            reason = str(error).split("\n")[0].rstrip(".") or type(error).__name__
            raise UserError(f"{self.description} cannot be made from these options: {reason}.") from None
        paths = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
        if not paths or (last := model.get_submodule(paths[-1])).out_features != self.num_classes:
            raise UserError(f"{self.description} does not end in a linear layer; choose another network.")
        model.set_submodule(paths[-1], nn.Identity())
        self._last = paths[-1]
        return model, last

    @torch.no_grad()
    def _try_an_image(self) -> None:
        try:
            self.eval()(torch.zeros(1, *self.image_shape))
        except (RuntimeError, ValueError, AssertionError) as error:
            shape, reason = "x".join(map(str, self.image_shape)), str(error).split("\n")[0].rstrip(".")
            raise UserError(f"{self.description} does not take images of {shape} ({reason}).") from None
        self.train()


class Torchvision(ExternalNetwork):
    """A classification network of torchvision, with random weights, for images of one channel (repeated) or three.

    Args:
        name: as in `torchvision.models`, for example `resnet18`.
        options: more arguments of its constructor, for example `{image_size: 32}` of a transformer.

    Raises:
        UserError: there is no such network, or it does not take images of this shape.

    Example:
        >>> Torchvision((3, 32, 32), 10, "resnet18").description
        'torchvision resnet18'
    """

    def construct(self) -> nn.Module:
        """Return the module, with weights from the global generator."""
        from torchvision import models

        known = models.list_models(models)
        if self.name not in known:
            raise UserError(_no_such("torchvision", self.name, known))
        # two networks would give more than the logits while they are trained
        single = {"aux_logits": False} if self.name in ("googlenet", "inception_v3") else {}
        return models.get_model(self.name, weights=None, num_classes=self.num_classes, **single, **self.options)

    def features(self, x: Tensor, layers: Sequence[int] | None = None) -> Tensor | list[Tensor]:
        """Return the features of gray or color images; see `Network.features`."""
        return super().features(x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x, layers)


class Timm(ExternalNetwork):
    """A network of timm (PyTorch Image Models), with random weights.

    Args:
        name: as in `timm.list_models()`, for example `resnet18`.
        options: more arguments of `timm.create_model`, for example `{img_size: 32, patch_size: 4}` of a transformer.

    Raises:
        UserError: timm is not installed, there is no such network, or it does not take images of this shape.
    """

    def construct(self) -> nn.Module:
        """Return the module, with weights from the global generator."""
        try:
            import timm
        except ImportError:
            raise UserError("Networks of timm need that library: pip install timm.") from None
        if self.name not in (known := timm.list_models()):
            raise UserError(_no_such("timm", self.name, known))
        shape = {"num_classes": self.num_classes, "in_chans": self.image_shape[0]}
        return timm.create_model(self.name, pretrained=False, **shape, **self.options)


def _no_such(library: str, name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"There is no network '{name}' in {library}{f'; did you mean {near[0]}' if near else ''}."
