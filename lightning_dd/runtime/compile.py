"""`torch.compile`, once for each function."""

from collections.abc import Callable
from typing import Any

import torch


class _Compiled(dict):
    """The compiled forms of one object's functions; a copy of the object, pickled or not, has none."""

    def __reduce__(self) -> tuple[type, tuple]:
        return _Compiled, ()


def compiled(function: Callable[..., Any], enabled: bool = True) -> Callable[..., Any]:
    """Return the compiled form of a function, a module or a bound method: the same object every time.

    It is kept with its owner (the module, the method's object, the function itself) and ends with it. So a network
    whose weights are changed in place is compiled once.

    Args:
        function: shapes are static: for each new one it is compiled again.
        enabled: without it, the function itself is returned.
    """
    if not enabled:
        return function
    owner = getattr(function, "__self__", function)
    # past nn.Module.__setattr__: no submodule, nothing in the state
    kept = vars(owner).setdefault("_compiled_functions", _Compiled())
    name = getattr(function, "__name__", "")
    if name not in kept:
        kept[name] = torch.compile(function, dynamic=False)
    return kept[name]
