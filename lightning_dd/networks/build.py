"""Building a network from a factory without disturbing the global generator."""

import re
from collections.abc import Callable

import torch
from torch import nn

from lightning_dd.errors import UserError
from lightning_dd.networks.base import Network

NetworkFactory = Callable[[tuple[int, int, int], int], Network]
"""Called with `(image_shape, num_classes)`; a class such as `ConvNet` or a `functools.partial` of it is one."""


def build(
    factory: NetworkFactory,
    image_shape: tuple[int, int, int],
    num_classes: int,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> nn.Module:
    """Return a network on the device whose weights depend on the generator alone.

    A `Network` is initialized under the generator; any other module is built under a forked global generator seeded
    from it.

    Args:
        factory: makes the network.
        image_shape: `(C, H, W)`.
        num_classes: number of logits.
        generator: on `device`.
        device: of the network.

    Example:
        >>> from lightning_dd.networks import ConvNet, build
        >>> network = build(ConvNet, (3, 32, 32), 10, torch.Generator().manual_seed(0))
        >>> sum(p.numel() for p in network.parameters())
        320010
    """
    # Constructors draw from the CPU generator only: no CUDA state needs forking (it would cost a synchronization).
    with torch.random.fork_rng(devices=[]):
        network = factory(image_shape, num_classes)
        if not isinstance(network, Network):
            seed = torch.randint(2**63 - 1, (), generator=generator, device=generator.device).item()
            torch.default_generator.manual_seed(seed)
            network = factory(image_shape, num_classes)
    network = network.to(device)
    return network.initialize(generator) if isinstance(network, Network) else network


def sample(
    factory: NetworkFactory, image_shape: tuple[int, int, int], num_classes: int, name: str = "A network"
) -> nn.Module:
    """Return a network to inspect, on the CPU; the global generator is untouched.

    Raises:
        UserError: the network, called by its `name`, does not take such images or such options.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            return factory(image_shape, num_classes)
        except TypeError as error:
            raise UserError(f"{name} cannot be made from these options: {error}.") from None


def without_dropout(network: nn.Module) -> nn.Module:
    """Return the network, in place, without dropout and stochastic depth, which draw from the global generator."""
    for module in network.modules():
        if re.search("drop|stochasticdepth", type(module).__name__.lower()):
            for probability in {"p", "drop_prob"} & vars(module).keys():
                setattr(module, probability, 0.0)
    return network


def check_features(network: nn.Module) -> Network:
    """Return the network; raise a `UserError` where it has no features."""
    if not isinstance(network, Network):
        name = type(network).__name__
        raise UserError(f"The method needs a network with features, and {name} has none; use ConvNet.")
    return network
