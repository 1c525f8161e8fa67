"""Train fresh networks on the distilled set and test them, at chosen steps and at the end."""

import copy
import math
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from itertools import zip_longest
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lightning_dd.artifact.codecs import Pixels
from lightning_dd.artifact.labels import Labels
from lightning_dd.artifact.schema import EVALUATION, check_form
from lightning_dd.callbacks.find import find
from lightning_dd.callbacks.finished import reason_to_end, what_is_left
from lightning_dd.callbacks.kept import Kept, Saving
from lightning_dd.callbacks.shutdown import interruptible
from lightning_dd.callbacks.snapshot import distilled_set
from lightning_dd.callbacks.step_timer import StepTimer
from lightning_dd.coresets import random_real
from lightning_dd.data.lazy import prepared
from lightning_dd.errors import OptionError, UserError
from lightning_dd.evaluation import Accuracies, Protocol, evaluate, find_protocol
from lightning_dd.evaluation.duration import duration, network_seconds
from lightning_dd.networks import NetworkFactory
from lightning_dd.networks.build import sample
from lightning_dd.rng import generator
from lightning_dd.runtime.bars import tqdm
from lightning_dd.runtime.environment import table
from lightning_dd.runtime.options import CheckedOptions, PositiveInt

TIMED_IMAGES = 256  # of the test images, to tell the time


class Evaluation(CheckedOptions, Kept):
    """Measure the distilled set beside random real images of the same number.

    Nothing here touches the run: all draws have generators of their own.

    Args:
        enabled: whether to evaluate at all.
        num_networks: fresh networks for each set; mean and standard deviation are over them. Papers have more of them
            or several sets: DC and DSA 20 networks of each of 5 sets, DM 5 of 5, DataDAM 10, RaT-BPTT 8.
        epochs: in place of the protocol's published number.
        every_n_steps: also evaluate every this many steps; None only at the end.
        at: also evaluate after these steps.
        protocol: a name that the command `list protocols` gives, or the path of a `Protocol` of yours, such as
            `mymodule.MINE`; None takes the method's own.
        network: architecture of the networks; None takes the one that was distilled with.
        split: `test`, or `held_out` where `data.held_out` sets a part of the training images aside for choices.
        random_real: whether to train networks on random real images too.

    Raises:
        UserError: the protocol is unknown.
    """

    option_group = "evaluation"

    def __init__(
        self,
        enabled: bool = True,
        num_networks: PositiveInt = 5,
        epochs: PositiveInt | None = None,
        every_n_steps: PositiveInt | None = None,
        at: list[PositiveInt] | None = None,
        protocol: str | None = None,
        network: NetworkFactory | None = None,
        split: Literal["test", "held_out"] = "test",
        random_real: bool = True,
    ) -> None:
        if protocol is not None or epochs is not None:
            find_protocol(protocol or "common", epochs)  # say what is wrong before hours are spent
        self.enabled = enabled
        self.num_networks = num_networks
        self.epochs = epochs
        self.every_n_steps, self.at = every_n_steps, set(at or [])
        self.protocol = protocol
        self.network = network
        self.split = split
        self.random_real = random_real
        self.records: list[dict[str, Any]] = []
        self.made_up = False  # whether the final evaluation of a run that was stopped before it was made up for

    @property
    def latest(self) -> float | None:
        """The last accuracy in percent."""
        return self.records[-1]["accuracy_mean"] if self.records else None

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """Find out before the run whether there is something to test on, and a way to train.

        Raises:
            UserError: there is none: the set will lack what the protocol needs, or the network does not fit the images;
                or a step to evaluate at comes after the last.
        """
        if not self.enabled:
            return
        if stage == "fit":
            self._check_steps(trainer)
        _, labels = trainer.datamodule.split(self.split)
        absent = set(range(module.num_classes)) - set(labels.tolist())
        if absent:
            names = ", ".join(trainer.datamodule.class_names[label] for label in sorted(absent)[:5])
            rank_zero_warn(f"The {self.split} split has no image of {len(absent)} class(es), such as {names}.")
        protocol = self._protocol_for(module, trainer.datamodule.name).bind(module.recipe())
        if self.network is None:
            return
        if not protocol.trains_networks:
            raise UserError(f"Protocol {protocol.name} trains no network: leave {{evaluation.network}} out.")
        if getattr(module, "fixed_weights", False):
            own, theirs = (_sample(factory, module) for factory in (module.network, self.network))
            protocol.check_network(theirs, dict(own.named_parameters()))

    def _check_steps(self, trainer: Trainer) -> None:
        if self.enabled and 0 < trainer.max_steps < (last := max(self.at, default=0)):
            raise OptionError("evaluation.at", f"names step {last:,}, and the run ends at {trainer.max_steps:,}")

    def summary(self, trainer: Trainer, module: LightningModule) -> str:
        """Return in words how the set will be measured."""
        if not self.enabled:
            return "none"
        protocol = self._protocol_for(module, trainer.datamodule.name)
        how = protocol.length(len(module.synthetic))
        if protocol.trains_networks:
            network = _sample(self._factory(module), module)
            how = f"{self.num_networks} x {getattr(network, 'description', type(network).__name__)}, {how}"
        sets = "the distilled images and on as many random real ones" if self.random_real else "the distilled images"
        tested = f"tested on the {len(trainer.datamodule.split(self.split)[1]):,} images of the {self.split} split"
        when = f"every {self.every_n_steps:,} steps and " if self.every_n_steps else ""
        when = f"after {', '.join(map(str, sorted(self.at)))} steps, {when}" if self.at else when
        return f"protocol {protocol.name}: {how}, on {sets}; {tested}, {when}at the end"

    def time_ahead(self, trainer: Trainer, module: LightningModule) -> str | None:
        """Return in words how long the evaluations ahead will take, measured by a few mini-batches."""
        data, device = trainer.datamodule, module.device
        images, labels = (part[:TIMED_IMAGES].to(device) for part in data.split(self.split))
        test_set = prepared(images, data.preprocessing_on(device)), labels
        protocol, share = self._protocol_for(module, data.name), math.ceil(self.num_networks / trainer.world_size)
        kinds = [protocol, protocol.for_real()] if self.random_real else [protocol]
        with _training(trainer):
            part = distilled_set(trainer, module), test_set, len(data.split(self.split)[1])
            seconds = [network_seconds(*part, self._factory(module), kind, module.seed) for kind in kinds]
        if timer := find(trainer, StepTimer):
            timer.leave_out_memory(module)
        if None in seconds:
            return None
        number = 1 + sum(map(self._due, range(trainer.global_step + 1, trainer.max_steps)))
        which = f"{number:,} evaluations" if number > 1 else "the evaluation"
        return f"about {duration(number * share * sum(seconds))} for {which}"

    def on_fit_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Make the final evaluation of a resumed run that was stopped between its last step and that."""
        self._check_steps(trainer)  # the method may have set its published number since
        over = reason_to_end(trainer, module.iteration)
        if over is None:
            return
        self.made_up = self.enabled and all(record["step"] != module.iteration for record in self.records)
        if trainer.is_global_zero:
            print(what_is_left(over, self.made_up, self.enabled), flush=True)
        if self.made_up:
            self._run(trainer, module)

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Make an evaluation during which a resumed run was stopped."""
        step = module.iteration
        if step and self.enabled and self._due(step) and all(record["step"] != step for record in self.records):
            self._run(trainer, module)

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: object) -> None:
        """Evaluate at every n-th step and at chosen ones, but leave the last one to `on_train_end`."""
        step = trainer.global_step
        if self.enabled and self._due(step) and step != trainer.max_steps:
            self._save_first(trainer, module)
            self._run(trainer, module)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Evaluate the final images, here and not in `on_fit_end`: by then the module has left the GPU."""
        if self.enabled and all(record["step"] != module.iteration for record in self.records):
            self._save_first(trainer, module)
            self._run(trainer, module)

    def on_test_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Evaluate the images of a checkpoint."""
        if self.enabled:
            self._run(trainer, module)

    def _save_first(self, trainer: Trainer, module: LightningModule) -> None:
        """Have what was learned saved: an evaluation may take long, and may be killed."""
        for callback in trainer.callbacks:
            if isinstance(callback, Saving):
                callback.save(trainer, module)

    def _due(self, step: int) -> bool:
        return step in self.at or bool(self.every_n_steps and step % self.every_n_steps == 0)

    def state_dict(self) -> dict[str, Any]:
        """Return the records so far: plain values."""
        return {"records": self.records}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back the records of a resumed run."""
        self.records = check_form(state, {"records": [EVALUATION]}, "The checkpoint's list of evaluations")["records"]

    def _run(self, trainer: Trainer, module: LightningModule) -> None:
        with interruptible(trainer):
            protocol, accuracies = self._measure(trainer, module)
        record = accuracies.record(module.iteration, protocol, self.split)
        record["num_test_images"] = len(trainer.datamodule.split(self.split)[1])
        timer = find(trainer, StepTimer)
        record["spent"] = timer.spent(module) if timer else {}
        if timer:
            timer.leave_out_memory(module)
        self.records.append(record)
        for logger in trainer.loggers:
            logger.log_metrics(_scalars(record), step=module.iteration)
        if trainer.is_global_zero:
            print(f"\n{table(record)}\n", flush=True)

    def _measure(self, trainer: Trainer, module: LightningModule) -> tuple[Protocol, Accuracies]:
        data, device = trainer.datamodule, module.device
        protocol = self._protocol_for(module, data.name)
        images, labels = data.split(self.split)
        test_set = prepared(images.to(device), data.preprocessing_on(device)), labels.to(device)
        share = tqdm(
            range(trainer.global_rank, self.num_networks, trainer.world_size),
            desc=f"evaluating: networks of {protocol.length(len(module.synthetic))}",
            disable=trainer.progress_bar_callback is None or not trainer.is_global_zero,
            leave=False,
        )

        def real(index: int, per_class: int = module.ipc) -> tuple[Tensor, Labels]:
            draw = generator(module.seed, "evaluation/random_real", index)
            rows = random_real(data.train_labels, data.num_classes, per_class, draw, data.class_names, repeat=True)
            images = data.real_images(rows)
            return images, module.labels_of(images, data.train_labels[rows])

        def coded(index: int) -> tuple[Tensor, Labels]:
            codec = copy.deepcopy(module.synthetic.codec).cpu().float()
            images, labels = real(index, codec.images_per_class)
            codec.start(images)
            images = codec.decode().detach()
            return images, module.labels_of(images, labels.classes)

        with _training(trainer):
            accuracies = evaluate(
                distilled_set(trainer, module),
                real if self.random_real else None,
                test_set,
                self._factory(module),
                protocol,
                share,
                module.seed,
                coded if self.random_real and not isinstance(module.synthetic.codec, Pixels) else None,
                data.cache,
            )
        return protocol, _gathered(trainer, accuracies)

    def _factory(self, module: LightningModule) -> NetworkFactory:
        return self.network or module.evaluation_network

    def _protocol_for(self, module: LightningModule, data: str) -> Protocol:
        network = partial(_sample, self._factory(module), module)
        return find_protocol(self.protocol or module.protocol, self.epochs, data, network)


def _scalars(record: dict[str, Any]) -> dict[str, float]:
    """Return the charts of an evaluation."""
    accuracy, real = record["accuracy_mean"], record["random_real_mean"]
    charts = {"accuracy": accuracy, "accuracy/spread": record["accuracy_std"]}
    return charts if real is None else {**charts, "accuracy/random_real": real, "accuracy/difference": accuracy - real}


def _training(trainer: Trainer) -> AbstractContextManager:
    """Return the conditions under which networks train: gradients, and the run's precision (hooks have neither)."""
    stack = ExitStack()
    stack.enter_context(torch.inference_mode(False))
    stack.enter_context(torch.enable_grad())
    stack.enter_context(trainer.strategy.precision_plugin.train_step_context())
    return stack


def _gathered(trainer: Trainer, share: Accuracies) -> Accuracies:
    """Return the accuracies of all processes in the order of the networks."""
    if trainer.world_size == 1:
        return share
    shares = [share] * trainer.world_size
    torch.distributed.all_gather_object(shares, share)
    names = ("distilled", "random_real", "random_coded")
    lists = {name: _interleaved([getattr(each, name) for each in shares]) for name in names}
    network, made_from = next((each.network, each.made_from) for each in shares if each.network)
    return Accuracies(**lists, network=network, made_from=made_from, seconds=max(each.seconds for each in shares))


def _interleaved(lists: list[list[float]]) -> list[float]:
    return [value for row in zip_longest(*lists) for value in row if value is not None]


def _sample(factory: NetworkFactory, module: LightningModule) -> torch.nn.Module:
    return sample(factory, module.image_shape, module.num_classes)
