"""Artifacts as a command names them, and the data set that they were distilled from."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_dd import data as data_sets
from lightning_dd.artifact.dataset import DistilledDataset, load
from lightning_dd.artifact.external import ForeignSet, read_foreign
from lightning_dd.callbacks.run_paths import ARTIFACT
from lightning_dd.data import ImageData
from lightning_dd.errors import UserError

OF_TEST_IMAGES = ("test_fraction", "crop")
"""Options of data of the user's that say which images are tested on, and how they look."""


@dataclass(frozen=True)
class Source:
    """An artifact of ours that was read, or the sets of a foreign file; without a name of the user, it is empty."""

    path: Path
    name: str
    content: DistilledDataset | list[ForeignSet]

    @classmethod
    def parse(cls, text: str) -> "Source":
        """Read `ARTIFACT` or `NAME=ARTIFACT`.

        Raises:
            UserError: it cannot be read.
        """
        name, equals, rest = text.partition("=")
        if not equals or Path(text).exists():
            name, rest = "", text
        path = Path(rest).expanduser()
        if path.suffix == ".pt" or (path.is_dir() and not (path / ARTIFACT).exists() and list(path.glob("*.pt"))):
            sets = read_foreign(path)
            if all(each.looks_like_pixels for each in sets):
                print(f"note: {path} holds values from 0 to 1 alone: it must hold normalized images, not pixels.")
            return cls(path, name, sets)
        return cls(path, name, load(path))

    @property
    def info(self) -> dict[str, Any]:
        """Record of an artifact of ours."""
        return self.content.info if isinstance(self.content, DistilledDataset) else {}

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape (C, H, W) of its images."""
        content = self.content
        return content.image_shape if isinstance(content, DistilledDataset) else tuple(content[0].images.shape[1:])

    @property
    def augmentation(self) -> str | None:
        """DSA operations that an artifact of ours was distilled with."""
        return self.content.recipe.get("augmentation") if isinstance(self.content, DistilledDataset) else None

    def sets(self, data: ImageData, augmentation: str | None = None) -> list[DistilledDataset]:
        """Return the sets, foreign ones as if they were ours; `augmentation` is for those that do not say theirs.

        Raises:
            UserError: they are of other classes or another image shape than the data.
        """
        if isinstance(self.content, DistilledDataset):
            sets = [self.content]
        else:
            try:
                sets = [foreign.distilled(data.class_names, data.preprocessing) for foreign in self.content]
            except UserError as error:
                raise UserError(f"{self.path}: {error.args[0]}") from None
        for each in sets:
            each.recipe["augmentation"] = each.recipe.get("augmentation") or augmentation
            if (each.num_classes, each.image_shape) != (data.num_classes, tuple(data.image_shape)):
                raise UserError(
                    f"{self.path} has {each.num_classes} classes of {each.image_shape} images, but {data.name} has "
                    f"{data.num_classes} of {tuple(data.image_shape)}."
                )
            pairs = zip(each.class_names, data.class_names, strict=True)
            if other := next(((ours, theirs) for ours, theirs in pairs if ours != theirs), None):
                raise UserError(f"{self.path} has a class {other[0]!r} where {data.name} has {other[1]!r}.")
        return sets


def name_all(sources: list[Source]) -> list[str]:
    """Return a name for each artifact: the user's, or method and, where that says too little, the file."""
    names = [source.name or _method(source.info) or _of_file(source.path) for source in sources]
    return [
        name if names.count(name) == 1 or source.name else f"{name} ({_of_file(source.path)})"
        for name, source in zip(names, sources, strict=True)
    ]


def _method(info: dict[str, Any]) -> str | None:
    selection = info.get("config", {}).get("model", {}).get("init_args", {}).get("selection")
    return f"coreset {selection}" if selection else info.get("method")


def _of_file(path: Path) -> str:
    """Return the last parts of a path that say something."""
    known = ("distilled", "images_best", "/")
    parts = [part for part in path.resolve().with_suffix("").parts if part not in known]
    return "/".join(parts[-2:] if parts and parts[-1].startswith("version_") else parts[-1:]) or str(path)


def find_data(
    infos: list[dict[str, Any]], name: str | None, root: str, zca: str | None, image_shape: tuple[int, ...]
) -> ImageData:
    """Return a data set by its name, or else the one that some artifacts are of, set up.

    Args:
        infos: what the artifacts say; empty for foreign ones.
        name: class in `lightning_dd.data`; images of any size are brought to the shape of the artifacts.
        root: folder of the data.
        zca: whitening that foreign sets were made under.
        image_shape: (C, H, W) of the artifacts' images.

    Raises:
        UserError: the artifacts say nothing or different things, or the data cannot be read.
    """
    known = {info["dataset"] for info in infos if "dataset" in info}
    if len(known) > 1:
        raise UserError(f"The artifacts are of different data sets: {', '.join(sorted(known))}; evaluate each apart.")
    configs = [info["config"]["data"] for info in infos if "data" in info.get("config", {})]
    recorded, options = _recorded(configs)
    if name and name != recorded:
        crop = bool(options.get("crop"))
        options = {"channels": image_shape[0], "image_size": image_shape[1:], "crop": crop}
    elif configs:
        name = recorded
        if name == "FromDataset":
            raise UserError("The artifacts were distilled from a program's own data: name the same data with --data.")
    else:
        raise UserError("The artifacts do not say what they were distilled from; name the data set with --data.")
    if name not in data_sets.__all__:
        raise UserError(f"There is no data set '{name}'; there are {', '.join(data_sets.__all__)}.")
    data = _constructed(getattr(data_sets, name), {**options, "root": root, "zca": zca})
    data.prepare_data()  # its shape and classes are held against each set's; names may differ since
    data.setup()
    return data


def _recorded(configs: list[dict[str, Any]]) -> tuple[str | None, dict[str, Any]]:
    """Return the data's class and options as artifacts have them in their configs; None and nothing without any.

    Raises:
        UserError: their test images differ.
    """
    found = [(each["class_path"].rsplit(".", 1)[-1], each.get("init_args") or {}) for each in configs]
    for option in OF_TEST_IMAGES:
        values = {str(options[option]) for _, options in found if option in options}
        if len(values) > 1:
            words = ", ".join(sorted(values))
            raise UserError(f"The artifacts differ in data.{option} ({words}): evaluate each apart.")
    name, options = found[0] if found else (None, {})
    # our sets bring their normalization, and the others are none of this one
    return name, {option: value for option, value in options.items() if option != "normalization"}


def _constructed(kind: type[ImageData], options: dict[str, Any]) -> ImageData:
    parameters = {name for each in kind.__mro__[:-1] for name in inspect.signature(each.__init__).parameters}
    try:
        return kind(**{name: value for name, value in options.items() if name in parameters})
    except TypeError:
        alone = f"--data {kind.__name__} cannot be read by its name alone"
        raise UserError(f"{alone}; give the artifact of a run on it.") from None
