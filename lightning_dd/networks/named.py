"""Networks by a compact name, as tables call them: `ConvNet`, `AlexNet:norm=instance`, `ConvNet:width=64,depth=4`."""

import difflib
import functools
import inspect
from typing import Any

import yaml
from torch import nn

from lightning_dd import networks
from lightning_dd.errors import UserError
from lightning_dd.networks.base import Network
from lightning_dd.networks.build import NetworkFactory, sample
from lightning_dd.networks.custom import module_class


def named_network(name: str) -> NetworkFactory:
    """Return the factory of a compact name.

    Args:
        name: a class of `lightning_dd.networks`, or the path of a module's class, and behind a colon its options,
            joined by commas.

    Raises:
        UserError: there is no such class or option, or an option has no value.

    A path is the user's own word: `recorded_network`, which reads what files say, takes none.

    Example:
        >>> named_network("ConvNet:norm=none")((3, 32, 32), 10).description
        'ConvNet (norm none)'
    """
    kind, _, rest = name.partition(":")
    classes = {found: getattr(networks, found) for found in networks.__all__ if found != "Network"}
    known = [found for found, made in classes.items() if isinstance(made, type) and issubclass(made, Network)]
    library, _, model = kind.partition(".")
    if library in ("torchvision", "timm") and model:
        raise UserError(f"Networks of {library} are {library.capitalize()}:name={model.rpartition('.')[2]} here.")
    if model:
        module_class(kind)
        return functools.partial(networks.Custom, name=kind, options=_options(name, rest))
    if kind not in known:
        near = difflib.get_close_matches(kind, known, n=1)
        raise UserError(f"There is no network '{kind}'{f'; did you mean {near[0]}' if near else f' among {known}'}.")
    options = _options(name, rest)
    for option in options:
        _check_option(kind, option)
    return functools.partial(getattr(networks, kind), **options)


def _options(name: str, rest: str) -> dict[str, Any]:
    """Return the options of a compact name, which stand behind its colon."""
    options = {}
    for part in rest.split(",") if rest else []:
        option, equals, value = part.partition("=")
        if not equals or not value:
            raise UserError(f"'{part}' of network {name} is not OPTION=VALUE, as in ConvNet:norm=none.")
        options[option] = yaml.safe_load(value)
    return options


def recorded_network(made_from: dict[str, Any]) -> NetworkFactory:
    """Return the factory of a network by its `Network.made_from`; no module is imported for it.

    Raises:
        UserError: the class is none of `lightning_dd.networks`.
    """
    module, _, name = made_from["class_path"].rpartition(".")
    if not module.startswith("lightning_dd.") or name not in networks.__all__:
        path = made_from["class_path"]
        raise UserError(f"The recorded network, {path}, is none of lightning_dd.networks: give it, such as '{path}'.")
    return functools.partial(getattr(networks, name), **(made_from.get("init_args") or {}))


def sample_network(name: str, image_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Return `sample` of a network by its compact name."""
    return sample(named_network(name), image_shape, num_classes, name)


def _check_option(kind: str, option: str) -> None:
    known = list(inspect.signature(getattr(networks, kind)).parameters)[2:]  # after image_shape and num_classes
    if option not in known and "options" not in known:
        near = difflib.get_close_matches(option, known, n=1)
        said = f"; did you mean {near[0]}" if near else f"; there are {', '.join(known)}" if known else ""
        raise UserError(f"{kind} has no option {option}{said}.")
