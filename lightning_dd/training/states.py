"""The networks in a checkpoint, compared with those of the run before anything relies on them."""

from typing import Any

from torch import Tensor, nn

from lightning_dd.errors import UserError

DAMAGED = "The checkpoint does not fit this run, or is damaged"


def check_networks(fine: bool, where: str) -> None:
    """Refuse the state of a source of networks that is not `fine`.

    Raises:
        UserError: names the place `where` something is wrong.
    """
    if not fine:
        raise UserError(f"{DAMAGED}: its networks are not those of the method, at {where}.")


def check_tensors(found: Any, wanted: dict[str, Tensor]) -> None:
    """Refuse a table of tensors that has others than the wanted ones: other names, shapes or kinds of numbers.

    Raises:
        UserError: names the first that is missing or wrong.
    """
    check_networks(isinstance(found, dict), "their table")
    for name in dict.fromkeys([*wanted, *found]):
        check_networks(name in wanted and name in found and alike(found[name], wanted[name]), str(name))


def check_momentum(found: Any, network: nn.Module) -> None:
    """Refuse a table of momentum, by names of parameters, that does not fit them; not all need have one.

    Raises:
        UserError: names the first that is wrong.
    """
    check_networks(isinstance(found, dict), "their momentum")
    weights = dict(network.named_parameters())
    for name, tensor in found.items():
        check_networks(name in weights and alike(tensor, weights[name]), f"the momentum of {name}")


def alike(found: Any, wanted: Tensor) -> bool:
    """Return whether something is a tensor of a shape and a kind of numbers."""
    same = isinstance(found, Tensor) and found.shape == wanted.shape
    return same and found.is_floating_point() == wanted.is_floating_point()
