"""A network of the user's own: any module, by its path."""

import inspect
from typing import Any

from torch import nn

from lightning_dd.errors import UserError
from lightning_dd.networks.external import ExternalNetwork
from lightning_dd.runtime.paths import import_object


class Custom(ExternalNetwork):
    """A class of `torch.nn.Module`, by its path; called with `image_shape`, `(C, H, W)`, and `num_classes`.

    Distilled sets do not import it when they are read: there, it is given again.

    Args:
        name: the path, for example `mymodule.Net`; modules are looked for in the current folder too.
        options: more arguments of its constructor.

    Raises:
        UserError: there is no such class, it does not end in a linear layer, or it does not take such images.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], num_classes: int, name: str, options: dict[str, Any] | None = None
    ) -> None:
        super().__init__(image_shape, num_classes, name, options)

    @property
    def written_in(self) -> type:
        """The user's class."""
        return module_class(self.name)

    @property
    def description(self) -> str:
        """The path of the class, and its options."""
        options = ", ".join(f"{name} {value}" for name, value in self.options.items())
        return f"{self.name} ({options})" if options else self.name

    @property
    def made_from(self) -> dict[str, Any]:
        """The user's class and its options."""
        return {"class_path": self.name, "init_args": dict(self.options)}

    def construct(self) -> nn.Module:
        """Return the module, with weights from the global generator."""
        return self.written_in(self.image_shape, self.num_classes, **self.options)


def module_class(path: str) -> type[nn.Module]:
    """Return a class of modules by its path.

    Raises:
        UserError: it cannot be imported, or is none.
    """
    found = import_object(path, "network")
    if not (inspect.isclass(found) and issubclass(found, nn.Module)):
        raise UserError(f"{path} is no network: give the path of a class of modules, such as mymodule.Net.")
    return found
