"""Distillation from Python: the code path of the command line, with a data set in place of a config."""

from pathlib import Path
from typing import Any, get_args

from lightning.pytorch import Callback, Trainer, seed_everything
from torch.utils.data import Dataset

from lightning_dd import methods
from lightning_dd.app.cli_errors import nearest
from lightning_dd.app.python_options import evaluation_options, method_options, plain_number, trainer_options
from lightning_dd.app.running import CALLBACKS, TRAINER_DEFAULTS, Events, prepare_trainer, silence_third_party_warnings
from lightning_dd.artifact.dataset import DistilledDataset, load
from lightning_dd.callbacks import ProgressBar
from lightning_dd.callbacks.run_paths import ARTIFACT, run_folder
from lightning_dd.coresets import Selection
from lightning_dd.data import FromDataset
from lightning_dd.errors import OptionError, UserError
from lightning_dd.runtime import processes
from lightning_dd.runtime.memory import keep_freed_memory
from lightning_dd.runtime.precision import check_precision


def distill(
    dataset: Dataset,
    method: str = "dm",
    ipc: int = 10,
    steps: int | None = None,
    test_dataset: Dataset | None = None,
    class_names: list[str] | None = None,
    name: str = "custom",
    root: str | Path = "runs",
    seed: int = 0,
    evaluation: dict[str, Any] | bool = True,
    trainer: dict[str, Any] | None = None,
    **options: Any,
) -> DistilledDataset:
    """Distill any torch data set of images into `ipc` images per class.

    Args:
        dataset: map-style, giving (image, label): Pillow images, uint8 tensors, or floats in [0, 1]; not normalized.
        method: name of a class in `lightning_dd.methods`, in any case.
        ipc: images per class.
        steps: updates of the images; None takes the published number.
        test_dataset: for the final evaluation; without it, a fifth of each class is kept out of training for it.
        class_names: in label order; without it, the data set's `classes`, or else the labels.
        name: of the data set, for the run's folder and the record.
        root: where run folders go.
        seed: every random draw is keyed with it.
        evaluation: arguments of `lightning_dd.callbacks.Evaluation`; False leaves it out.
        trainer: more arguments of Lightning's `Trainer`.
        **options: of the method, for example `lr=1.0`. A network, here and in `evaluation`, is a name such as
            `"ConvNet:width=64"`, or what makes one, such as `functools.partial(ConvNet, width=64)`.

    Returns:
        The distilled set; its run folder also holds the picture, the record and the checkpoint.

    Raises:
        UserError: the data or an option cannot be used.

    Example:
        >>> import torch, lightning_dd as dd
        >>> images, labels = torch.rand(40, 1, 8, 8), torch.arange(40) % 2
        >>> data = torch.utils.data.TensorDataset(images, labels)
        >>> distilled = dd.distill(data, ipc=1, steps=1, evaluation=False)  # doctest: +SKIP
    """
    if steps is not None and steps < 1:
        raise OptionError("steps", f"must be at least 1, got {steps}")
    processes.exit_with_parent()
    silence_third_party_warnings()
    keep_freed_memory()
    seed_everything(seed, verbose=False)
    data = FromDataset(dataset, test_dataset, class_names, name)
    method_class = find_method(method)
    facts = {"num_classes": data.num_classes, "image_shape": data.image_shape, "class_names": data.class_names}
    evaluation = evaluation_options(evaluation, facts)
    settings = {**TRAINER_DEFAULTS, **trainer_options(trainer or {}), "default_root_dir": str(root)}
    options = {"ipc": ipc, **options}
    module = _constructed(method_class, **method_options(method_class, options, facts), seed=seed, **facts)
    module.options = {
        "model": {"class_path": f"lightning_dd.methods.{method_class.__name__}", "init_args": _plain(options)}
    }
    module.command = f"lightning_dd.distill(..., method={method!r}, ipc={ipc}, steps={steps}, seed={seed})"
    check_precision(settings.get("precision"))
    settings["callbacks"] = _callbacks(evaluation, settings)
    run = Trainer(
        **settings,
        max_steps=-1 if steps is None else steps,
        logger=Events(str(root), f"{method.lower()}_{name}_ipc{ipc}"),
    )
    prepare_trainer(run)
    processes.watch(run.strategy.launcher, str(UserError(module.resume_hint)))
    try:
        run.fit(module, data)
    except BaseException:
        processes.wait_for_rank_zero()
        processes.end_others()
        raise
    return load(run_folder(run) / ARTIFACT)


def _callbacks(evaluation: dict[str, Any], settings: dict[str, Any]) -> list[Callback]:
    """Return ours, the user's after them, and the progress bar unless it is switched off."""
    ours = [CALLBACKS[key](**evaluation) if key == "evaluation" else CALLBACKS[key]() for key in CALLBACKS]
    bar = [ProgressBar()] if settings.get("enable_progress_bar", True) else []
    return [*ours, *settings.get("callbacks", []), *bar]


def find_method(name: str) -> type[methods.Distiller]:
    """Return a method's class.

    Raises:
        UserError: there is no method of that name.
    """
    known = {found.lower(): getattr(methods, found) for found in methods.__all__}
    known = {key: value for key, value in known.items() if issubclass(value, methods.Distiller)}
    del known["distiller"]
    if name in get_args(Selection):
        raise UserError(f"'{name}' is a rule of coresets: give method='coreset', selection='{name}'.")
    if name.lower() not in known:
        raise UserError(f"There is no method '{name}'{nearest(name.lower(), sorted(known))}.")
    return known[name.lower()]


def _constructed(method: type[methods.Distiller], **options: Any) -> methods.Distiller:
    try:
        return method(**options)
    except TypeError as error:
        raise UserError(f"{method.__name__} cannot be made from these options: {error}.") from None


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    """Return options as plain values; others as text."""
    values = {name: plain_number(value) for name, value in options.items()}
    kept = (int, float, str, bool, type(None))
    return {name: value if isinstance(value, kept) else str(value) for name, value in values.items()}
