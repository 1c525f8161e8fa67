"""Every method's loop: fetch a network, compare, update the synthetic set, train the network."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, ClassVar

import torch
from torch import Tensor

from lightning_dd.artifact.labels import Labels
from lightning_dd.artifact.synthetic import SyntheticSet
from lightning_dd.data.sampling import Batch
from lightning_dd.errors import UserError
from lightning_dd.methods.optimizers import step_where
from lightning_dd.methods.preparation import Preparation
from lightning_dd.runtime.precision import precision_context


class NonFiniteLossError(UserError):
    """The loss or its gradient is not finite; the images are still those of the last finite step."""


class Distiller(Preparation):
    """A method: an objective whose parameters are the synthetic set.

    A subclass writes `sampling` and `objective`, and names its networks in `own_networks` where they are not simply
    random ones. One call of `training_step` is one update of the synthetic set. What comes before the first step is in
    `Preparation`, its options included.
    """

    full_precision: ClassVar[bool] = False
    """Whether the objective and its gradient run without autocast: second derivatives do not survive less."""
    tf32: ClassVar[bool] = False
    """Whether a GPU may compute the objective in TF32: not where gradients are differentiated or systems solved."""

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """Update the synthetic set once."""
        with self.timed("loss"):
            network = self.networks.at(self.iteration)
            loss = self.objective(network, self.synthetic, batch)
            self.update_synthetic(loss)
        with self.stopwatch.part("networks", self.device):
            self.networks.update(self.iteration, self.synthetic, batch)
        self.iteration += 1

    def objective(self, network: Any, synthetic: SyntheticSet, batch: Batch) -> Tensor:
        """Return this process's share of the loss, a scalar to be summed over processes.

        The network is that of this step, as the source gives it; the batch holds the real images of `sampling`.
        """
        raise NotImplementedError

    def update_synthetic(self, loss: Tensor) -> None:
        """Make one step of the optimizer along the gradient of the loss, summed over processes."""
        if not isinstance(loss, Tensor) or loss.ndim:
            found = f"a tensor {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
            raise UserError(f"{type(self).__name__}.objective returns {found}, and not one number: a tensor ().")
        if not loss.requires_grad:
            raise self._no_path()
        optimizer = self.optimizers()
        optimizer.zero_grad()
        # processes share the work, and backward averages over them: scale the average back to the sum
        self.manual_backward(loss * self.trainer.world_size)
        if all(parameter.grad is None for parameter in self.parameters()):
            raise self._no_path()
        self.limit_gradients(optimizer)
        self.check_finite(loss)
        step_where(self.accept(loss.detach()), optimizer)
        if (scheduler := self.lr_schedulers()) is not None:
            scheduler.step()
        self.after_update()
        self.average_images()
        several = self.trainer.world_size > 1
        self.log("loss", loss.detach(), prog_bar=True, sync_dist=several, reduce_fx="sum" if several else "mean")

    def _no_path(self) -> UserError:
        name = type(self).__name__
        return UserError(f"The loss of {name}.objective does not depend on the synthetic set: are its images detached?")

    def limit_gradients(self, optimizer: Any) -> None:
        """Make the gradients smaller where the method or its user asks for it: of the images, of labels, ... each."""
        if self.clip is not None:
            for parameter in self.parameters():
                torch.nn.utils.clip_grad_norm_([parameter], self.clip)

    def accept(self, loss: Tensor) -> Tensor | None:
        """Return whether a step with this loss counts, a boolean scalar on the device; None is always."""
        return None

    def after_update(self) -> None:
        """Look after what was updated; nothing by default."""

    def check_finite(self, loss: Tensor) -> None:
        """Refuse an update that would spoil the images; on a GPU, where looking makes the host wait, every few steps.

        It looks before the first update too: that of a resumed run, which shall not lose what it resumed from.

        Raises:
            NonFiniteLossError: the loss or the gradient is not finite; what is learned is that of the last finite look.
        """
        if self._last_finite and self.iteration % self.finite_check_interval:
            return
        gradients = [parameter.grad for parameter in self.parameters() if parameter.grad is not None]
        if torch.stack([loss.isfinite(), *(gradient.isfinite().all() for gradient in gradients)]).all():
            state = {"optimizer": self._optimizer().state_dict(), "average": self._average}
            self._last_finite = deepcopy(state | {"learned": [tensor.detach() for tensor in self._learned()]})
            return
        self.restore_last_finite()
        what = "The gradient of the loss" if loss.isfinite() else "The loss"
        step = self.trainer.global_step
        raise NonFiniteLossError(f"{what} is not finite at step {step}; the images before it are kept: {self.hint()}")

    def ensure_valid(self) -> None:
        """Check what is learned before it is written: on a GPU not every update was checked.

        Raises:
            NonFiniteLossError: it is not valid; the state of the last finite check is restored.
        """
        if not self.is_valid():
            self.restore_last_finite()
            raise NonFiniteLossError(
                f"What was learned in {self.trainer.global_step} steps is not finite; what it was before is kept: "
                f"{self.hint()}"
            )

    def is_valid(self) -> bool:
        """Return whether all learned tensors are finite."""
        return bool(torch.stack([tensor.isfinite().all() for tensor in self._learned()]).all())

    def restore_last_finite(self) -> None:
        """Put what is learned, and what steps keep of it, back to where the loss was last seen to be finite."""
        if not self._last_finite:
            return
        for tensor, values in zip(self._learned(), self._last_finite["learned"], strict=True):
            tensor.data.copy_(values)
        self._optimizer().load_state_dict(self._last_finite["optimizer"])
        self._average = self._last_finite["average"]

    def _learned(self) -> list[Tensor]:
        return [*self.parameters(), *self.buffers()]

    def _optimizer(self) -> torch.optim.Optimizer:
        return self.optimizers(use_pl_optimizer=False)

    def hint(self) -> str:
        """Return what to do about a loss that is not finite."""
        return f"lower {{lr}} (now {self.lr:g}), set {{clip}}, or look for extreme values in the data."

    def no_share(self) -> Tensor:
        """Return zero, with a gradient of zeros: the loss of a process that has no share of the work."""
        return sum(parameter.sum() * 0 for parameter in self.parameters() if parameter.requires_grad)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Measure a part of the step, in the precision that the method needs."""
        precision = precision_context(self.device.type, self.full_precision, self.tf32)
        with self.stopwatch.part(part, self.device), precision:
            yield

    def recipe(self) -> dict[str, Any]:
        """Return how networks are trained on the set, in plain values, for the artifact."""
        return {"augmentation": self.augmentation.strategy if self.augmentation else None}

    def labels_of(self, images: Tensor, classes: Tensor) -> Labels:
        """Return the labels that real images `(N, C, H, W)` of classes `(N,)` have where they are compared with."""
        return Labels(classes)

    def recipe_tensors(self) -> dict[str, Tensor]:
        """Return the tensors that training on the set needs besides images and labels, for the artifact."""
        return {}
