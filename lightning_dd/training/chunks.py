"""The number of images that go through a network at once."""

from torch import Tensor, nn

from lightning_dd.errors import OptionError
from lightning_dd.networks.base import has_batch_norm

PIXELS_ON_CPU = 256 * 32**2  # measured (tools/benchmark.py dm); at 64x64, 64 images were 1.2 times as fast as 256


def chunk_size(wanted: int | None, network: nn.Module, images: Tensor, shared: bool = False) -> int:
    """Return the number of real images `(..., C, H, W)` in one forward: the user's option `wanted`, if there is one.

    None takes 256 of 32x32 pixels, or fewer larger ones, on a CPU and all on a GPU; batch normalization takes all. They
    may be `shared` among processes, of which each has a part.

    Raises:
        OptionError: the network has batch normalization in training mode, whose statistics are those of all images, and
            a number was asked for, or processes share the images.
    """
    everything = max(1, images.shape[:-3].numel())
    if isinstance(network, nn.Module) and network.training and has_batch_norm(network):
        if wanted is not None:
            raise OptionError("real_chunk", "would change the result of a network with batch normalization")
        if shared:
            sentence = "must be 1 for a network with batch normalization, whose statistics are those of all images"
            raise OptionError("trainer.devices", sentence)
        return everything
    if wanted is not None:
        return wanted
    if images.device.type != "cpu":
        return everything
    pixels = images.shape[-2] * images.shape[-1]
    return max(1, min(256, PIXELS_ON_CPU // max(1, pixels)))
