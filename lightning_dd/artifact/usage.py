"""How to train on a set, for its reader: what `show` prints, and the card of a shared set."""

from typing import TYPE_CHECKING

from lightning_dd.artifact.labels import LOSSES, Labels

if TYPE_CHECKING:
    from lightning_dd.artifact.dataset import DistilledDataset

SCORED = {
    "krr": "Ridge regression by the kernel that the recipe names: no network is trained.",
    "kd": "Networks trained on these images, every view of which is labeled by the teacher that comes with the set, a "
    "network trained on all real images: much of the accuracy is the teacher's, and a plain loop ends far below.",
}
"""How a set was scored, by protocol, where it was not by networks trained on its images alone."""


def usage(place: str, distilled: "DistilledDataset") -> str:
    """Return Python that trains on a set, as recorded, and in a loop with the loss that its labels want."""
    own = Labels(distilled.labels, distilled.label_kind).own
    loss = LOSSES[own].replace("logits", "network(images)")
    protocol = "krr" if "kernel" in distilled.recipe else distilled.recipe.get("protocol")
    train = 'train()  # as recorded; or train("ConvNet", protocol="common")'
    if protocol == "krr":
        train = 'train(protocol="common")  # its own score is a kernel\'s, which trains no network'
    if protocol == "kd":
        train = "train()  # as recorded: the set's teacher labels every view; the loop below ends far below"
    label = "class index" if own == "hard" else "learned label"
    learned = "" if own == "hard" else f".pairs(labels={own!r})"
    return f"""\
import torch, lightning_dd as dd
from torch.nn import functional as F

distilled = dd.load({place!r})
network = distilled.{train}
accuracy = distilled.evaluate("TEST", network)  # a folder, a data set of (image, label), or tensors

# or in a loop of yours: a torch Dataset of (prepared image, {label})
loader = torch.utils.data.DataLoader(distilled{learned}, batch_size=256, shuffle=True)
for images, labels in loader:  # again and again: an epoch is few steps
    loss = {loss}
    ...
logits = network.eval()(distilled.preprocess(test_images))  # uint8, or floats in [0, 1]"""
