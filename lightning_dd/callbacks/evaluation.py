"""Train fresh networks on the distilled set and test them, at chosen steps and at the end."""

from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from tqdm import tqdm

from lightning_dd.callbacks.snapshot import distilled_set
from lightning_dd.coresets import random_real
from lightning_dd.errors import UserError
from lightning_dd.evaluation import Accuracies, Protocol, evaluate, find_protocol
from lightning_dd.evaluation.records import table
from lightning_dd.networks import NetworkFactory
from lightning_dd.randomness import generator


class Evaluation(Callback):
    """Measure the distilled set beside random real images of the same number.

    Nothing here touches the run: all draws have generators of their own.

    Args:
        enabled: whether to evaluate at all.
        num_networks: fresh networks for each set; mean and standard deviation are over them.
        epochs: in place of the protocol's published number.
        every_n_steps: also evaluate at these steps; None only at the end.
        protocol: `dc`, `dsa`, `dm`, `dd`, `mtt`, `datm`, `frepo`, `kip`, `krr`, `dcbench`, `dcbench_dsa`, `common` or
            `common_soft`; None takes the method's own.
        network: architecture of the networks; None takes the one that was distilled with.
        split: `test`, or `held_out` where `--data.held_out` sets a part of the training images aside for choices.
        random_real: whether to train networks on random real images too.
        networks_at_once: how many are trained together, as one stacked model; None takes 1 on a CPU and 10 on a GPU.

    Raises:
        UserError: a number is not positive, or the protocol is unknown.
    """

    def __init__(
        self,
        enabled: bool = True,
        num_networks: int = 5,
        epochs: int | None = None,
        every_n_steps: int | None = None,
        protocol: str | None = None,
        network: NetworkFactory | None = None,
        split: str = "test",
        random_real: bool = True,
        networks_at_once: int | None = None,
    ) -> None:
        numbers = {
            "num_networks": num_networks,
            "every_n_steps": every_n_steps,
            "networks_at_once": networks_at_once,
        }
        for name, value in numbers.items():
            if value is not None and value < 1:
                raise UserError(f"--evaluation.{name} is at least 1 and cannot be {value}.")
        if protocol is not None or epochs is not None:
            find_protocol(protocol or "common", epochs)  # say what is wrong before hours are spent
        self.enabled = enabled
        self.num_networks = num_networks
        self.epochs = epochs
        self.every_n_steps = every_n_steps
        self.protocol = protocol
        self.network = network
        self.split = split
        self.random_real = random_real
        self.networks_at_once = networks_at_once
        self.records: list[dict[str, Any]] = []
        self._measured: int | None = None  # the step whose images were measured last

    @property
    def latest(self) -> float | None:
        """The last accuracy in percent."""
        return self.records[-1]["accuracy_mean"] if self.records else None

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """Find out before the run whether there is something to test on, and a way to train."""
        if self.enabled:
            find_protocol(self.protocol or module.protocol, self.epochs)
            trainer.datamodule.split(self.split)

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: object) -> None:
        """Evaluate at every n-th step, but leave the last one to `on_train_end`."""
        step = trainer.global_step
        if self.enabled and self.every_n_steps and step % self.every_n_steps == 0 and step != trainer.max_steps:
            self._run(trainer, module)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Evaluate the final images, here and not in `on_fit_end`: by then the module has left the GPU."""
        if self.enabled and self._measured != module.iteration:
            self._run(trainer, module)

    def on_test_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Evaluate the images of a checkpoint."""
        if self.enabled:
            self._run(trainer, module)

    def state_dict(self) -> dict[str, Any]:
        """Return the records so far: plain values."""
        return {"records": self.records}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back the records of a resumed run."""
        self.records = state["records"]

    def _run(self, trainer: Trainer, module: LightningModule) -> None:
        protocol, accuracies = self._measure(trainer, module)
        record = accuracies.record(module.iteration, protocol, self.split)
        self.records.append(record)
        self._measured = module.iteration
        scalars = {"accuracy": record["accuracy_mean"], "accuracy/random_real": record["random_real_mean"]}
        for logger in trainer.loggers:
            logger.log_metrics({k: v for k, v in scalars.items() if v is not None}, step=module.iteration)
        if trainer.is_global_zero:
            print(f"\n{table(record)}\n", flush=True)

    def _measure(self, trainer: Trainer, module: LightningModule) -> tuple[Protocol, Accuracies]:
        data, device = trainer.datamodule, module.device
        factory = self.network or module.network
        protocol = find_protocol(
            self.protocol or module.protocol, self.epochs, data.name, _has_batch_norm(factory, module)
        )
        images, labels = data.split(self.split)
        test_set = data.preprocessing_on(device)(images.to(device)), labels.to(device)
        share = tqdm(
            range(trainer.global_rank, self.num_networks, trainer.world_size),
            desc=f"evaluating: networks of {protocol.length(module.num_classes * module.ipc)}",
            disable=trainer.progress_bar_callback is None or not trainer.is_global_zero,
            leave=False,
        )

        def real(index: int) -> tuple[Tensor, Tensor]:
            draw = generator(module.seed, "evaluation/random_real", index)
            rows = random_real(data.train_labels, data.num_classes, module.ipc, draw, data.class_names, repeat=True)
            return data.real_images(rows), data.train_labels[rows]

        with _training(trainer):
            accuracies = evaluate(
                distilled_set(trainer, module),
                real if self.random_real else None,
                test_set,
                factory,
                protocol,
                share,
                module.seed,
                self.networks_at_once,
            )
        return protocol, _gathered(trainer, accuracies)


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
    shares: list[dict[str, Any]] = [{}] * trainer.world_size
    torch.distributed.all_gather_object(shares, share.plain())
    return Accuracies(
        distilled=_interleaved([s["distilled"] for s in shares]),
        random_real=_interleaved([s["random_real"] for s in shares]),
        network=next(s["network"] for s in shares if s["network"]),
        seconds=max(s["seconds"] for s in shares),
    )


def _interleaved(lists: list[list[float]]) -> list[float]:
    longest = max(len(values) for values in lists)
    return [values[row] for row in range(longest) for values in lists if row < len(values)]


def _has_batch_norm(factory: NetworkFactory, module: LightningModule) -> bool:
    with torch.random.fork_rng(devices=[]):
        network = factory(module.image_shape, module.num_classes)
    return any(isinstance(part, torch.nn.modules.batchnorm._BatchNorm) for part in network.modules())
