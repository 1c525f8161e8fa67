"""Objects of a user's own, imported by their path."""

import inspect
from importlib import import_module
from typing import Any

from lightning_dd.errors import UserError
from lightning_dd.runtime.nearest import nearest


def import_object(path: str, what: str) -> Any:
    """Return the object at a path such as `mymodule.Net`; modules of the current folder are found too.

    Args:
        path: of a module, and a name in it.
        what: it should be, for sentences: `network`.

    Raises:
        UserError: the module cannot be imported, or has no such name.
    """
    module, _, name = path.rpartition(".")
    try:
        home = import_module(module)
    except ImportError as error:
        raise UserError(f"The {what} '{path}' cannot be imported: {error}.") from None
    if not hasattr(home, name):
        known = [key for key, value in vars(home).items() if inspect.isclass(value)]
        raise UserError(f"The module {module} has no {name}{nearest(name, known)}.")
    return getattr(home, name)
