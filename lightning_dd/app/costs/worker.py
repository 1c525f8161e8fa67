"""Measures one cell: a method at a number of images per class, in a process of its own."""

import functools
import inspect
import logging
import resource
import warnings
from argparse import Namespace
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import LambdaCallback

from lightning_dd import data as data_sets
from lightning_dd import methods
from lightning_dd.app.costs.random_walk import RandomWalk
from lightning_dd.app.costs.synthetic import RandomImages
from lightning_dd.app.running import TRAINER_DEFAULTS
from lightning_dd.callbacks import StepTimer
from lightning_dd.errors import UserError
from lightning_dd.methods import Distiller
from lightning_dd.networks import ConvNet
from lightning_dd.runtime.memory import keep_freed_memory, out_of_memory, peak_memory

REAL_IMAGES = 5000, 100_000  # in memory, at least and at most; batches are drawn from them
FULL_BATCH = ("batch_size", "pool_batch", "synthetic_batch")
"""Options for the number of synthetic images in a step of inner training."""
WEIGHTS_DO_NOT_MATTER = {"num_networks": 1, "network_epochs": 1}
"""Networks that are trained beforehand: enough of them for their part in the peak memory."""


def known_methods() -> dict[str, type[Distiller]]:
    """Return the methods that learn images, by name; a coreset's step does nothing that could be measured."""
    classes = {name: kind for name in methods.__all__ if inspect.isclass(kind := getattr(methods, name))}
    distillers = {name: kind for name, kind in classes.items() if issubclass(kind, Distiller)}
    return {name: kind for name, kind in distillers.items() if kind.objective is not Distiller.objective}


def run(method: str, ipc: int, options: Namespace) -> dict[str, Any]:
    """Return what a cell costs, or under `failed` why it could not be measured."""
    keep_freed_memory()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    on_gpu = torch.cuda.is_available()
    if options.limit and not on_gpu:
        # an allocation beyond fails here, before the system picks a process to end
        resource.setrlimit(resource.RLIMIT_DATA, (options.limit, options.limit))
    try:
        return _measured(known_methods()[method], ipc, options)
    except UserError as error:
        return {"failed": str(error)}
    except (RuntimeError, MemoryError) as error:
        if out_of_memory(error) or "memory" in str(error).lower() or "bad_alloc" in str(error):
            return {"failed": "out of memory"}
        raise


def _measured(method: type[Distiller], ipc: int, options: Namespace) -> dict[str, Any]:
    facts = getattr(data_sets, options.data).facts
    shape = Namespace(shape=facts.image_shape, classes=len(facts.class_names), seed=0)
    try:
        module = method(**_arguments(method, ipc, shape, options))
    except TypeError as error:
        raise UserError(f"{method.__name__} cannot be made from these options: {error}.") from None
    least, most = REAL_IMAGES  # a real batch that is larger than the data would shrink to them
    data = RandomImages(min(most, max(least, shape.classes * getattr(module.sampling, "per_class", 2))), shape)
    cost, before = StepTimer(synchronize=True), {}

    def look(trainer: Trainer, module: LightningModule) -> None:
        before.update(memory_before_bytes=peak_memory(module.device), device=str(module.device))

    trainer = Trainer(
        **{name: value for name, value in TRAINER_DEFAULTS.items() if name != "default_root_dir"},
        devices=1,
        max_steps=options.steps + 1,  # the first is not counted
        callbacks=[cost, LambdaCallback(on_train_start=look)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.fit(module, data)
    return {**cost.record(module), **before}


def _arguments(method: type[Distiller], ipc: int, shape: Namespace, options: Namespace) -> dict[str, Any]:
    """Return what the method is made with: its published settings, but full batches in its inner training."""
    accepted = {name for each in method.__mro__ for name in inspect.signature(each.__init__).parameters}
    everything = shape.classes * ipc
    arguments: dict[str, Any] = {"ipc": ipc, "num_classes": shape.classes, "image_shape": shape.shape}
    if not issubclass(method, methods.IDC):  # its networks learn real images
        arguments.update({name: everything for name in FULL_BATCH if name in accepted})
    arguments.update({name: value for name, value in WEIGHTS_DO_NOT_MATTER.items() if name in accepted})
    if "images_per_step" in accepted:
        arguments["images_per_step"] = None  # of each class, all
    if issubclass(method, methods.MTT):
        arguments.update(experts="", networks=RandomWalk(), init="real")  # a random walk is right about nothing
    if "repeat_images" in accepted:
        arguments["repeat_images"] = True  # what images show does not matter to a clock
    if issubclass(method, methods.DREAM):
        arguments["init"] = "real"  # likewise; its own would train a network to choose them
    if options.width and not issubclass(method, methods.KIP):  # its network is infinitely wide
        arguments["network"] = functools.partial(ConvNet, width=options.width)
    return {**arguments, **options.settings.get(method.__name__, {})}
