"""Experts: networks trained on real images, with their weights after each epoch, for trajectory matching."""

import math
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_dd.augmentation import ALL_OPERATIONS, DSA
from lightning_dd.data.sampling import Batch
from lightning_dd.errors import OptionError, UserError
from lightning_dd.experts import provenance
from lightning_dd.experts.gradient import gsam
from lightning_dd.experts.recording import Recording
from lightning_dd.methods.summary import network_text
from lightning_dd.methods.task import Task
from lightning_dd.networks import ConvNet, NetworkFactory, build
from lightning_dd.networks.base import has_batch_norm
from lightning_dd.networks.build import without_dropout
from lightning_dd.rng import generator
from lightning_dd.runtime.options import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from lightning_dd.training.loop import accuracy
from lightning_dd.unroll.chunks import gradient_of
from lightning_dd.unroll.functional import CrossEntropy, FlatNetwork
from lightning_dd.version import __version__


class Experts(Task):
    """The experts of Matching Training Trajectories (Cazenavette et al., CVPR 2022, arXiv 2203.11932).

    Each expert is trained by plain SGD on augmented mini-batches, one a step; the vector of all its parameters is
    recorded at the start and after each epoch, in a file of its own. An interrupted run resumes the epoch it was in.
    `experts.json` beside the files records their data, training and test accuracies.

    Args:
        folder: where the files go; the methods' option `experts`.
        number: of experts.
        first: number of the first expert, where several runs share the work.
        epochs: passes over the training images.
        keep_epochs: epochs that are kept at most, from the first on; None for all. A method reads those up to
            `max_start_epoch + expert_epochs`.
        network: architecture, without batch normalization, whose statistics are no parameters.
        augmentation: DSA operations joined by `_`, one a mini-batch, with parameters for each image; digits leave out
            `flip`. None for none.
        lr: learning rate of SGD, without momentum, decay or schedule.
        batch_size: images in a step; the last, incomplete batch of an epoch is kept.
        gsam_rho: above 0, the size of the perturbation of adaptive GSAM, which FTD's and DATM's experts are trained by
            (0.01); doubles the time.
        gsam_alpha: of GSAM.
        compile: compile the gradient with `torch.compile`.
        **facts: of the data and the run; see `Task`.

    Raises:
        UserError: the network has batch normalization.
    """

    memory_option = "{batch_size}"
    resume_hint = "the same command resumes it"

    def __init__(
        self,
        folder: str,
        number: PositiveInt = 100,
        first: NonNegativeInt = 0,
        epochs: PositiveInt = 50,
        keep_epochs: PositiveInt | None = None,
        network: NetworkFactory = ConvNet,
        augmentation: str | None = ALL_OPERATIONS,
        lr: PositiveFloat = 0.01,
        batch_size: PositiveInt = 256,
        gsam_rho: NonNegativeFloat = 0.0,
        gsam_alpha: NonNegativeFloat = 0.0,
        compile: bool = False,
        **facts: Any,
    ) -> None:
        super().__init__(**facts)
        self.folder = Path(folder)
        self.numbers = range(first, first + number)
        self.epochs, self.keep_epochs = epochs, min(keep_epochs or epochs, epochs)
        self.network = network
        self.augmentation = DSA(augmentation) if augmentation else None
        self.lr, self.batch_size = lr, batch_size
        if gsam_alpha and not gsam_rho:
            raise OptionError("gsam_alpha", "is a part of GSAM: give {gsam_rho} too")
        self.gsam = gsam_rho, gsam_alpha
        network = build(network, self.image_shape, self.num_classes, generator(self.seed, "network"))
        self._flat = FlatNetwork(without_dropout(network))  # as where its segments are matched
        if has_batch_norm(self._flat.network):
            raise UserError(
                "Batch normalization has statistics that no trajectory holds; use {model.network.norm} instance."
            )
        gradient = gradient_of(CrossEntropy(self._flat), compile)
        self._gradient = gsam(gradient, *self.gsam) if gsam_rho else gradient
        self.weights = nn.Parameter(torch.zeros(sum(self._flat.sizes)))
        self._unfinished: list[Recording] = []
        self._seconds: dict[int, float] = {}  # of the training of those that this run finished
        self._step = 0

    @property
    def learned(self) -> bool:
        """Whether a network was trained, now or before."""
        return super().learned or not self._unfinished

    @property
    def sampling(self) -> None:
        """No images from the loader: each expert draws its own."""
        return None

    def setup(self, stage: str) -> None:
        """Find the unfinished experts.

        Raises:
            UserError: the folder holds experts of another kind, its disk is too small, or there are several processes.
        """
        if self.trainer.world_size > 1:
            raise UserError("Experts are trained by one process; start others with {first} and {number}.")
        recordings = [Recording(self.folder, number, self.keep_epochs) for number in self.numbers]
        unfinished = [recording for recording in recordings if not recording.finished]
        self._unfinished = sorted(unfinished, key=_epoch, reverse=True)  # those begun come first
        provenance.check_description(self.folder, self._description())
        self._check_space(len(unfinished))
        if not unfinished:
            print(f"All {len(recordings)} experts in {self.folder} are finished: nothing is left to do.", flush=True)
        provenance.write_description(self.folder, self._description(), {})
        self._steps_per_epoch = math.ceil(len(self.trainer.datamodule.train_labels) / self.batch_size)
        steps = sum(self.epochs - _epoch(recording) for recording in unfinished) * self._steps_per_epoch
        asked = self.trainer.max_steps  # negative: until all are finished
        self.trainer.fit_loop.epoch_loop.max_steps = steps if asked < 0 else min(asked, steps)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return plain SGD."""
        return torch.optim.SGD([self.weights], self.lr)

    def on_train_start(self) -> None:
        """Move the training images to the device."""
        super().on_train_start()
        data = self.trainer.datamodule
        self._flat.network.to(self.device)
        self._images, self._labels = (tensor.to(self.device) for tensor in (data.train_images, data.train_labels))
        self._prepare = data.preprocessing_on(self.device)

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """Train an expert on one mini-batch."""
        recording = self._unfinished[0]
        if self._step == 0:
            self._begin_epoch(recording)
        images, labels = self._mini_batch(recording)
        self.weights.grad, loss = self._gradient(self.weights.detach(), images, labels)
        self.optimizers().step()
        self.log("loss", loss.detach(), prog_bar=True)
        self._step += 1
        self.iteration += 1
        if self._step == self._steps_per_epoch:
            self._step = 0
            self._end_epoch(recording)

    def summary(self) -> dict[str, str]:
        """Return what the start of a run says of the experts, by title."""
        steps, number, unfinished = self.trainer.max_steps, len(self.numbers), len(self._unfinished)
        left = f"{unfinished} of {number} experts of {self.epochs} epochs to train, {steps:,} steps"
        held = f"({self.keep_epochs + 1} times {len(self.weights):,} weights each, float32)"
        disk = f"{_readable(self._space(unfinished))} {held} of {_readable(self._free())} free in {self.folder}"
        return {"network": network_text(self._flat.network), "method": left, "disk": disk}

    def _begin_epoch(self, recording: Recording) -> None:
        """Load the weights, and sample the order of the images."""
        if recording.epochs_done is None:
            weights = generator(self.seed, "network", recording.number, self.device)
            network = build(self.network, self.image_shape, self.num_classes, weights, self.device)
            recording.add(0, self._flat.weights(network))
        self._epoch = recording.epochs_done
        self._since = time.perf_counter() - recording.seconds(self._epoch)
        order = generator(self.seed, f"expert {recording.number}/order", self._epoch)
        self._order = torch.randperm(len(self._labels), generator=order).to(self.device)
        # a copy: where a file is mapped, alignment and so the last bits would be accidental
        self.weights.data = recording.weights(self._epoch).to(self.device, copy=True)

    def _mini_batch(self, recording: Recording) -> tuple[Tensor, Tensor]:
        """Return images `(B, C, H, W)`, preprocessed and augmented, and labels `(B,)`."""
        rows = self._order[self._step * self.batch_size :][: self.batch_size]
        images = self._prepare(self._images[rows]).to(self.weights.dtype)
        if self.augmentation is not None:
            number = self._epoch * self._steps_per_epoch + self._step
            draws = generator(self.seed, f"expert {recording.number}/augmentation", number)
            draw = self.augmentation.draw(1, draws, self.image_shape[1:], per_image=len(rows))
            images = self.augmentation.apply(draw.to(self.device), images[None])[0]
        return images, self._labels[rows]

    def _end_epoch(self, recording: Recording) -> None:
        """Save the weights; finish the expert after its last epoch."""
        seconds = time.perf_counter() - self._since
        if self._epoch + 1 < self.epochs:
            recording.add(self._epoch + 1, self.weights, seconds)
        else:
            self._seconds[recording.number] = round(seconds, 3)
            self._finish(recording, self.weights.detach())
            del self._unfinished[0]

    def _finish(self, recording: Recording, weights: Tensor) -> None:
        if not weights.isfinite().all():
            raise UserError(f"Expert {recording.number} diverged; lower {{lr}} (now {self.lr:g}).")
        tested = self._tested(weights)
        recording.finish(self.epochs, weights, tested)
        provenance.write_description(self.folder, self._description(), self._seconds)
        found = "".join(f"{percent:.1f} % of the test images " for percent in tested.values())
        print(f"\nexpert {recording.number}: {found}after {self.epochs} epochs", flush=True)

    def _tested(self, weights: Tensor) -> dict[str, float]:
        """Return the accuracy on the test images in percent, by its name in the record; nothing without such images."""
        if len(self.trainer.datamodule.test_labels) == 0:
            return {}
        images, labels = self.trainer.datamodule.split("test")
        self._flat.network.eval()
        with torch.no_grad():
            percent = accuracy(lambda part: self._logits(weights, part), images, labels.to(self.device))
        self._flat.network.train()
        return {"test_accuracy": round(percent, 3)}

    def _logits(self, weights: Tensor, images: Tensor) -> Tensor:
        return self._flat(weights, self._prepare(images.to(self.device)).to(weights))

    def _space(self, unfinished: int) -> int:
        """Return the bytes that so many experts take: weights in float32."""
        return unfinished * len(self.weights) * (self.keep_epochs + 2) * 4

    def _free(self) -> int:
        """Return the free bytes of the folder's disk."""
        folder = self.folder.absolute()
        return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free

    def _check_space(self, unfinished: int) -> None:
        """Refuse experts for which the disk is too small."""
        needed, free = self._space(unfinished), self._free()
        if needed > free:
            raise UserError(
                f"The experts need {_readable(needed)} in {self.folder}, where {_readable(free)} are free; lower "
                "{keep_epochs} or {number}."
            )

    def _description(self) -> dict[str, Any]:
        data = self.trainer.datamodule
        return {
            "data": provenance.describe_data(data),
            "preprocessing": provenance.describe_preprocessing(data.preprocessing, self.image_shape),
            "network": provenance.describe_network(self._flat.network),
            "training": {
                **{name: getattr(self, name) for name in ("epochs", "keep_epochs", "lr", "batch_size")},
                "augmentation": self.augmentation.strategy if self.augmentation else None,
                "gsam": list(self.gsam),
                "precision": str(self.trainer.precision),
                "seed": self.seed,
            },
            "command": self.command,
            "versions": {"lightning_dd": __version__, "torch": torch.__version__},
        }


def _epoch(recording: Recording) -> int:
    return recording.epochs_done or 0


def _readable(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
