"""Options given from Python, checked by the parser of the command line."""

import inspect
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from torch import nn

from lightning_dd.app.cli_errors import PlainParser
from lightning_dd.app.named_parts import made
from lightning_dd.callbacks import Evaluation
from lightning_dd.data import FromDataset, ImageData, ImageFolder
from lightning_dd.data.folder import name_of
from lightning_dd.data.sources import is_folder
from lightning_dd.errors import OptionError, UserError
from lightning_dd.methods import Distiller
from lightning_dd.networks import NetworkFactory
from lightning_dd.networks.named import named_network, sample_network
from lightning_dd.runtime.nearest import nearest
from lightning_dd.runtime.options import refusal, restricted_number_type

OURS = {"max_steps": "steps=", "default_root_dir": "root=", "logger": "root= and name="}
"""Arguments of Lightning's trainer that `distill` gives itself, and those of `distill` in their place."""

ARGUMENTS = ("source", "steps", "test_dataset", "class_names", "name", "root", "image_size", "evaluation", "trainer")
"""Other arguments of `distill`."""

Seed = restricted_number_type("Seed", int, [(">=", 0), ("<", 2**32)])
"""A seed that NumPy accepts: Lightning seeds it too."""


def whole_number(argument: str, value: Any, kind: type) -> int:
    """Return an argument of `distill` as a number of a restricted type, such as `PositiveInt`.

    Raises:
        OptionError: it is none.
    """
    try:
        return int(kind(plain_number(value)))
    except (TypeError, ValueError, OverflowError):
        raise OptionError(argument, refusal(kind, value)) from None


def method_options(method: type[Distiller], options: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """Return a method's options: networks given by name made into factories, codecs and sources into what they name.

    Args:
        method: its class.
        options: by name, as the user gave them, and `ipc`.
        facts: of the data: `num_classes`, `image_shape`, `class_names`.

    Raises:
        UserError: there is no such option, a value is of the wrong kind or none of the choices, or one is missing.
    """
    for name in {*facts, "seed"} & options.keys():
        raise UserError(f"{name} is no option of a method here: the data, or distill's own arguments, give it.")
    options = {**options, **{name: made(name, options[name]) for name in ("codec", "networks") if name in options}}
    own = {name for kind in method.__mro__ for name in inspect.signature(kind.__init__).parameters}
    _check_names(options.keys() - own)
    if "<locals>" in method.__qualname__:  # no path leads the parser to it; its constructor checks what it can
        return {**options, **_network(options, facts)}
    parser = PlainParser()
    parser.add_lightning_class_args(Distiller, "model", subclass_mode=True)
    plain = {name: plain_number(value) for name, value in options.items() if name != "network"}
    named = {"network": "ConvNet"} if "network" in options else {}  # is there such an option?
    path = f"{method.__module__}.{method.__name__}"
    parser.parse_object({"model": {"class_path": path, "init_args": {**plain, **named}}})
    return {**plain, **_network(options, facts)}


def _check_names(names: Iterable[str]) -> None:
    """Say where an option belongs that is none of a method's: to the data, or to `distill` by another name.

    Raises:
        UserError: there is one.
    """
    of_data = {name for kind in (ImageFolder, ImageData) for name in inspect.signature(kind.__init__).parameters}
    for name in names:
        if name in of_data:
            raise UserError(f"{name} is an option of the data: give data={{{name!r}: ...}}.")
        if name not in ARGUMENTS and get_close_matches(name, ARGUMENTS, n=1, cutoff=0.85):
            raise UserError(f"There is no option {name}{nearest(name, ARGUMENTS)}.")


def data_from(
    source: Any, test: Any, class_names: Sequence[str] | None, name: str | None, options: dict[str, Any]
) -> ImageData:
    """Return a source of images, as `distill` takes it, as a data module.

    Args:
        source: to train on.
        test: to test on; None for the source's own or a fifth of each class.
        class_names: in label order; None for the source's own.
        name: of the data set; None for the folder's, or `custom`.
        options: of the data module: `image_size`, `crop` and others.

    Raises:
        UserError: the source or an option cannot be used.
    """
    if not isinstance(name, str | None):
        raise UserError(f"name is a text, not {name!r}.")
    if isinstance(class_names, str):
        raise UserError(f"class_names is a list of names, not the text {class_names!r}.")
    whole_folder = is_folder(source) and test is None
    kind = ImageFolder if whole_folder else FromDataset
    known = [name for each in (kind, ImageData) for name in inspect.signature(each.__init__).parameters]
    for option in options:
        if option not in known or option in ("root", "train", "test", "class_names", "name", "self"):
            raise UserError(f"There is no option data.{option}{nearest(option, known)}.")
    if not whole_folder:
        own = name_of(Path(source).expanduser()) if is_folder(source) else "custom"
        return FromDataset(source, test, class_names, name or own, **options)
    if class_names is not None:
        raise UserError("The classes of a folder are its subfolders: leave class_names out, or rename these.")
    data = ImageFolder(str(source), **options)
    data.name = name or data.name
    return data


def evaluation_options(options: dict[str, Any] | bool, facts: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `Evaluation`, a network given by name made into a factory.

    Args:
        options: by name; False for no evaluation.
        facts: of the data.

    Raises:
        UserError: as `method_options`.
    """
    if isinstance(options, bool):
        return {"enabled": options}
    if not isinstance(options, dict):
        raise UserError(f"evaluation is True, False or a dict of options such as epochs, not {options!r}.")
    parser = PlainParser()
    parser.add_lightning_class_args(Evaluation, "evaluation")
    plain = {name: plain_number(value) for name, value in options.items() if name != "network"}
    parser.parse_object({"evaluation": plain})
    return {**plain, **_network(options, facts)}


def trainer_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of Lightning's trainer.

    Raises:
        UserError: it is no dict, there is no such argument, or `distill` gives it itself.
    """
    if not isinstance(options, dict):
        raise UserError(f"trainer is a dict of options such as max_time, not {options!r}.")
    known = inspect.signature(Trainer).parameters
    for name in options:
        if name in OURS:
            raise UserError(f"trainer takes no {name} here: give {OURS[name]} to distill in its place.")
        if name not in known:
            raise UserError(f"Lightning's trainer has no option {name}{nearest(name, known)}.")
    return options


def plain_number(value: Any) -> Any:
    """Return numbers of NumPy and torch as Python's, and anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 else value


def _network(options: dict[str, Any], facts: dict[str, Any]) -> dict[str, NetworkFactory]:
    """Return the entry `network` of some options as a factory; nothing where it is left out or None."""
    network = options.get("network")
    if isinstance(network, dict):
        network = made("network", network)
    if network is None:
        return {}
    if isinstance(network, str):
        sample_network(network, facts["image_shape"], facts["num_classes"])  # say what is wrong with it now
        return {"network": named_network(network)}
    if not callable(network) or isinstance(network, nn.Module):
        raise UserError("network is a name such as 'ConvNet:width=64', or a class or function that makes a network.")
    return {"network": network}
