"""A network that the user trained elsewhere."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lightning_dd.artifact.files import tensor_digest
from lightning_dd.artifact.schema import digest
from lightning_dd.artifact.unpickle import read_pickled
from lightning_dd.errors import UserError
from lightning_dd.networks import Network
from lightning_dd.networks.build import check_features
from lightning_dd.networks.external import ExternalNetwork
from lightning_dd.training.sources import NetworkSource, SourceContext
from lightning_dd.training.states import check_networks


class SavedNetwork(NetworkSource):
    """At every iteration one network, in eval mode, whose weights are in a file.

    It is the method's `network`, trained on images normalized as the data are (`data.normalization`), with as many
    outputs as there are classes, in their order.

    Args:
        weights: a `.safetensors` file, or one that `torch.save` wrote, of the network's `state_dict`; of networks of
            torchvision and timm, the one that these libraries write.

    Raises:
        UserError: at the start, where the file cannot be read or holds weights of another network.
    """

    def __init__(self, weights: str) -> None:
        self.weights = weights

    def setup(self, context: SourceContext) -> None:
        """Read the weights."""
        super().setup(context)
        fresh = torch.Generator(context.device).manual_seed(context.seed)
        self._network = check_features(context.build(fresh)).eval().requires_grad_(context.trainable)
        state = read_weights(Path(self.weights))
        if isinstance(self._network, ExternalNetwork) and state.keys() != self._network.state_dict().keys():
            state = self._network.from_library(state)
        self._state, self._digest = state, tensor_digest(state)
        try:
            self._network.load_state_dict(state)
        except RuntimeError:
            raise UserError(
                f"The weights in {self.weights} are not those of {self._network.description} for images of "
                f"{'x'.join(map(str, context.image_shape))} and {context.num_classes} classes: set {{network}}."
            ) from None

    def trained(self, iteration: int) -> Network:
        """Return the network, which `at` has fetched: loading it again would spoil what is differentiated."""
        return self._network

    def at(self, iteration: int) -> Network:
        """Return the network; methods may have moved the statistics of its batch normalization."""
        self._network.load_state_dict(self._state)
        return self._network.to(torch.get_default_dtype()).eval()

    def state_dict(self) -> dict[str, str]:
        """Return a digest of the weights, which are read again."""
        return {"digest": self._digest}

    def load_state_dict(self, state: dict[str, str]) -> None:
        """Raise a `UserError` where the weights of the checkpoint were others."""
        check_networks(digest(state.get("digest")), "their digest")
        if hasattr(self, "_digest") and state["digest"] != self._digest:
            raise UserError(
                f"The weights in {self.weights} are not those of the checkpoint: give the file of that run."
            )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name.

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    if path.suffix != ".safetensors":
        state = read_pickled(path)
    else:
        try:
            state = load_file(path)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path} cannot be read as weights of a network ({error}).") from None
    if not isinstance(state, dict) or not state or not all(isinstance(each, Tensor) for each in state.values()):
        raise UserError(f"{path} holds no weights of a network by name: save its state_dict().")
    return state
