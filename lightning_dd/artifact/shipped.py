"""The folders of configs that come with the program, and the distilled sets beside them."""

from pathlib import Path

import lightning_dd

PACKAGE = Path(lightning_dd.__file__).resolve().parent


def folders() -> list[Path]:
    """Return the folders of configs, in the order in which they are searched: the current one's first."""
    checkout = [PACKAGE.parent / "configs"] if (PACKAGE.parent / "setup.cfg").is_file() else []
    found = [folder for folder in (Path("configs"), *checkout, PACKAGE / "configs") if folder.is_dir()]
    return list({folder.resolve(): folder for folder in found}.values())


def shipped_sets() -> dict[str, Path]:
    """Return the path of each distilled set by its name, that of its config (`dm/cifar10_ipc10`)."""
    return by_name(".safetensors")


def by_name(ending: str) -> dict[str, Path]:
    """Return the files with an ending by their names, such as `dm/cifar10_ipc10`, in order; first folders first."""
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(folder.rglob(f"*{ending}")):
            found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
    return found
