"""Training on a distilled set: the labels with the loss that suits them, and a whole training in one line."""

from typing import TYPE_CHECKING, Any, Literal

from torch import nn
from torch.utils.data import TensorDataset

from lightning_dd.artifact.labels import LOSSES, Labels
from lightning_dd.errors import UserError

if TYPE_CHECKING:
    from lightning_dd.artifact.dataset import DistilledDataset


class Training:
    """Training on a set and testing it, as methods of `DistilledDataset`."""

    def pairs(self: "DistilledDataset", labels: Literal["hard", "soft", "targets"]) -> TensorDataset:
        """Return a torch data set of preprocessed images `(C, H, W)` and labels of one kind.

        Args:
            labels: `hard`, class indices, for cross-entropy; `soft`, probabilities `(num_classes,)` where the set has
                soft labels, for cross-entropy too; or `targets` `(num_classes,)` of a regression, as FRePo and KIP
                learn them, for half the squared error, `0.5 * (logits - labels).square().sum(1).mean()`.

        Raises:
            UserError: there is no such kind.
        """
        if labels not in LOSSES:
            raise UserError(f"labels is hard, soft or targets, got {labels!r}.")
        values = Labels(self.labels, self.label_kind)
        return TensorDataset(self.prepared, values.as_(labels, self.num_classes, self.prepared.dtype))

    @property
    def label_hint(self: "DistilledDataset") -> str:
        """The way to train on the set's own labels: what `pairs` takes, and the loss that goes with it."""
        own = Labels(self.labels, self.label_kind).own
        return f"learned labels by pairs(labels={own!r}) with the loss {LOSSES[own]}"

    def train(
        self: "DistilledDataset",
        network: Any = None,
        protocol: str | None = None,
        seed: int = 0,
        epochs: int | None = None,
    ) -> nn.Module:
        """Train a network on the set; as recorded, it reaches the recorded accuracy.

        Args:
            network: a name such as `"ConvNet:width=64"`, what makes a network from an image shape and a number of
                classes, or a network, which is trained in place from the weights that it has; None makes the recorded
                one.
            protocol: name or path of an evaluation protocol, such as `common`; None takes the recorded one.
            seed: of the initial weights, the order of the images and their augmentation.
            epochs: in place of the protocol's number, or the recorded one.

        Returns:
            The network in eval mode, on the GPU where there is one. It takes images that went through `preprocess`.

        Raises:
            UserError: the set was scored by a kernel, or network and protocol do not suit it.
        """
        from lightning_dd.evaluation.recorded import train_recorded

        return train_recorded(self, network, protocol, seed, epochs)

    def evaluate(self: "DistilledDataset", test: Any, network: Any = None) -> float:
        """Return the accuracy in percent of a network on test images, which are preprocessed here.

        Args:
            test: as the source of `lightning_dd.distill`: a folder (its `test/`, if it has one), a data set of (image,
                label), or a tuple `(images, labels)` of tensors, uint8 or floats in [0, 1]. Images of another size
                are resized as those that were distilled; class names, where both have them, match labels.
            network: called with preprocessed images `(n, C, H, W)`; None takes that of `train()`.

        Raises:
            UserError: the images or labels do not suit the set.
        """
        from lightning_dd.evaluation.recorded import measure_accuracy

        return measure_accuracy(self, test, network)
