"""Distillation from Python: the code path of the command line, with a source of images in place of a config."""

import os
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer, seed_everything

from lightning_dd.app.python_methods import Method, data_facts, find_method, make_method, plain
from lightning_dd.app.python_options import Seed, data_from, evaluation_options, trainer_options, whole_number
from lightning_dd.app.running import (
    CALLBACKS,
    TRAINER_DEFAULTS,
    Events,
    check_learned,
    prepare_trainer,
    quiet_trainer,
    silence_third_party_warnings,
)
from lightning_dd.artifact.dataset import DistilledDataset, load
from lightning_dd.callbacks import ProgressBar
from lightning_dd.callbacks.run_paths import ARTIFACT, run_folder
from lightning_dd.errors import UserError
from lightning_dd.runtime import processes
from lightning_dd.runtime.memory import keep_freed_memory
from lightning_dd.runtime.options import PositiveInt
from lightning_dd.runtime.precision import check_precision


def distill(
    source: Any,
    method: Method = "dm",
    ipc: int = 10,
    steps: int | None = None,
    test_dataset: Any = None,
    class_names: list[str] | None = None,
    name: str | None = None,
    root: str | Path = "runs",
    seed: int = 0,
    image_size: int | tuple[int, int] | None = None,
    crop: bool = False,
    evaluation: dict[str, Any] | bool = True,
    trainer: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    **options: Any,
) -> DistilledDataset:
    """Distill images into `ipc` images per class.

    Args:
        source: the images. The path of a folder with a subfolder for each class (or `train/` and `test/` of such); a
            map-style torch data set of (image, label); a Hugging Face data set, or a list of dicts, with `image` and
            `label`; or a tuple `(images, labels)` of tensors, `(N, C, H, W)` and `(N,)`. Images are Pillow images,
            uint8, or floats in [0, 1], not normalized; labels are class indices, or names.
        method: name of a class in `lightning_dd.methods`, in any case; a class; or its path, `mymethods.Half`.
        ipc: images per class.
        steps: updates of the images; None takes the published number.
        test_dataset: for the final evaluation, as `source`; without it, the folder's `test/`, or else a fifth of each
            class is kept out of training for it.
        class_names: in label order; without it, the source's own, or else the labels.
        name: of the data set, for the run's folder and the record; without it, that of the folder, or `custom`.
        root: where run folders go.
        seed: every random draw is keyed with it.
        image_size: pixels, or (height, width), to resize to; needed where images differ in size.
        crop: resize the shorter side and cut out the center, rather than stretch.
        evaluation: arguments of `lightning_dd.callbacks.Evaluation`; False leaves it out.
        trainer: more arguments of Lightning's `Trainer`; `{"enable_progress_bar": False}` runs quietly.
        data: more options of the data, such as `{"zca": "frepo", "held_out": 0.1}`; see `lightning_dd.data.ImageData`
            and, for folders, `ImageFolder`.
        **options: of the method, for example `lr=1.0`. A network, here and in `evaluation`, is a name such as
            `"ConvNet:width=64"`, or what makes one, such as `functools.partial(ConvNet, width=64)`.

    Returns:
        The distilled set; its `folder`, that of the run, also holds the picture, the record and the checkpoint.

    Raises:
        UserError: the data or an option cannot be used.

    Example:
        >>> import torch, lightning_dd as dd
        >>> images, labels = torch.rand(40, 1, 8, 8), torch.arange(40) % 2
        >>> distilled = dd.distill((images, labels), ipc=1, steps=1, evaluation=False)  # doctest: +SKIP
    """
    steps = None if steps is None else whole_number("steps", steps, PositiveInt)
    seed, root = whole_number("seed", seed, Seed), os.path.expanduser(str(root))
    processes.exit_with_parent()
    silence_third_party_warnings()
    keep_freed_memory()
    seed_everything(seed, verbose=False)
    method = find_method(method)
    if not isinstance(data, dict | None):
        raise UserError(f"data is a dict of options such as zca, not {data!r}.")
    given = {"image_size": image_size, "crop": crop, **(data or {})}
    images = data_from(source, test_dataset, class_names, name, given)
    evaluation = evaluation_options(evaluation, data_facts(images))
    settings = {**TRAINER_DEFAULTS, **trainer_options(trainer or {}), "default_root_dir": root}
    module = make_method(method, {"ipc": ipc, **options}, images, seed)
    module.options["data"] = {"class_path": type(images).__name__, "init_args": plain(given)}
    said = {"method": method, "ipc": ipc, "steps": steps, "seed": seed, **options}
    said |= {key: value for key, value in {"image_size": image_size, "crop": crop, "data": data}.items() if value}
    module.command = f"lightning_dd.distill(..., {', '.join(f'{key}={_said(value)}' for key, value in said.items())})"
    check_precision(settings.get("precision"))
    settings["callbacks"] = _callbacks(evaluation, settings)
    logger = Events(root, f"{method.__name__.lower()}_{images.name}_ipc{ipc}")
    with quiet_trainer():
        run = Trainer(**settings, max_steps=-1 if steps is None else steps, logger=logger)
        prepare_trainer(run)
        processes.watch(run.strategy.launcher, str(UserError(module.resume_hint)))
        try:
            run.fit(module, images)
            check_learned(run)
        except BaseException:
            processes.wait_for_rank_zero()
            processes.end_others()
            raise
    return load(run_folder(run) / ARTIFACT)


def _said(value: Any) -> str:
    """Return an argument as it may have been written: a class or a function by its name."""
    return repr(getattr(value, "__name__", value))


def _callbacks(evaluation: dict[str, Any], settings: dict[str, Any]) -> list[Callback]:
    """Return ours, the user's after them, and the progress bar; without that, nothing is said at the start either."""
    shown = settings.get("enable_progress_bar", True)
    given = {"evaluation": evaluation, "summary": {"enabled": shown}}
    ours = [callback(**given.get(key, {})) for key, callback in CALLBACKS.items()]
    bar, own = [ProgressBar()] if shown else [], settings.get("callbacks") or []
    return [*ours, *([own] if isinstance(own, Callback) else own), *bar]
