"""A method for Python: found by name, class or class path, and made from options."""

import inspect
from typing import Any, get_args

from lightning_dd import methods
from lightning_dd.app.python_options import method_options, plain_number
from lightning_dd.coresets import Selection
from lightning_dd.data import ImageData
from lightning_dd.errors import UserError
from lightning_dd.networks import Network
from lightning_dd.networks.named import named_network
from lightning_dd.runtime.nearest import nearest
from lightning_dd.runtime.paths import import_object
from lightning_dd.training.sources import NetworkSource

RESUME_HINT = "lightning_dd.load reads what was learned so far"
Method = str | type[methods.Distiller]
"""A name in any case, a class, or its path such as `mymethods.Half`."""


def find_method(method: Method) -> type[methods.Distiller]:
    """Return a method's class.

    Raises:
        UserError: there is no such method.
    """
    if inspect.isclass(method) and issubclass(method, methods.Distiller):
        return method
    if not isinstance(method, str):
        raise UserError(f"method is a name such as 'dm', a class of methods, or its path, not {method!r}.")
    if "." in method:
        return _of_path(method)
    known = {found.lower(): getattr(methods, found) for found in methods.__all__}
    known = {key: value for key, value in known.items() if issubclass(value, methods.Distiller)}
    del known["distiller"]
    if method in get_args(Selection):
        raise UserError(f"'{method}' is a rule of coresets: give method='coreset', selection='{method}'.")
    if method.lower() not in known:
        raise UserError(f"There is no method '{method}'{nearest(method.lower(), sorted(known))}.")
    return known[method.lower()]


def make_method(method: type[methods.Distiller], options: dict[str, Any], data: ImageData, seed: int) -> Any:
    """Return a method for some data, with the record of its options.

    Args:
        method: its class.
        options: by name, `ipc` among them.
        data: with its facts; it need not be set up.
        seed: every random draw is keyed with it.

    Raises:
        UserError: an option cannot be used.
    """
    facts = data_facts(data)
    try:
        module = method(**method_options(method, options, facts), seed=seed, **facts)
    except TypeError as error:
        raise UserError(f"{method.__name__} cannot be made from these options: {error}.") from None
    path = f"{method.__module__}.{method.__qualname__}"
    path = f"lightning_dd.methods.{method.__name__}" if path.startswith("lightning_dd.") else path
    module.options = {"model": {"class_path": path, "init_args": plain(options)}}
    module.resume_hint = RESUME_HINT
    return module


def data_facts(data: ImageData) -> dict[str, Any]:
    """Return what a method and its networks are told of the data."""
    return {"num_classes": data.num_classes, "image_shape": data.image_shape, "class_names": data.class_names}


def plain(options: dict[str, Any]) -> dict[str, Any]:
    """Return options as plain values, as a config has them; what is none, such as a function, as text."""
    network = options.get("network")
    named = {"network": named_network(network)} if isinstance(network, str) else {}
    return {name: _plain(value) for name, value in {**options, **named}.items()}


def _described(value: Any) -> Any:
    """Return a class of this package, a `functools.partial` of one, or a source of networks, as a config has it."""
    source = isinstance(value, NetworkSource)
    kind = type(value) if source else getattr(value, "func", value)
    if not inspect.isclass(kind) or not kind.__module__.startswith("lightning_dd.") or getattr(value, "args", ()):
        return value
    home = "lightning_dd.networks" if issubclass(kind, Network) else kind.__module__
    given = vars(value) if source else getattr(value, "keywords", {})  # a source keeps its options by their names
    options = {name: given[name] for name in inspect.signature(kind).parameters if name in given}
    return {"class_path": f"{home}.{kind.__name__}", "init_args": options}


def _plain(value: Any) -> Any:
    value = _described(plain_number(value))
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, int | float | str | bool | None) else str(value)


def _of_path(path: str) -> type[methods.Distiller]:
    found = import_object(path, "method")
    if not (inspect.isclass(found) and issubclass(found, methods.Distiller)):
        raise UserError(f"{path} is no method: a method is a subclass of lightning_dd.methods.Distiller.")
    return found
