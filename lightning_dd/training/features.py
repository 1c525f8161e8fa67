"""The network in whose feature space coresets are chosen: how it is trained, and where it is kept.

Papers do not publish how theirs was trained. Ours learns the whole training set by SGD with learning rate 0.01,
momentum 0.9, weight decay 5e-4 and batches of 256 in a new order each epoch, without augmentation: the evaluation of DC
(arXiv 2006.05929) before its drop. Features are what the classifier sees (penultimate activations).
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from lightning_dd.data.cache import cached
from lightning_dd.errors import UserError
from lightning_dd.networks import Network, NetworkFactory, build
from lightning_dd.rng import generator
from lightning_dd.training.chunks import chunk_size
from lightning_dd.training.loop import train_network

if TYPE_CHECKING:
    from lightning_dd.data import ImageData

LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, BATCH_SIZE = 0.01, 0.9, 5e-4, 256

Prepare = Callable[[Tensor], Tensor]
"""From training pixels `(n, C, H, W)` to what networks are trained on, on the device."""


@dataclass(frozen=True)
class TrainingSet:
    """What the feature network learns.

    Attributes:
        images: pixels `(N, C, H, W)`, uint8 or float32.
        labels: `(N,)` class indices.
        num_classes: outputs of the network.
        prepare: moves pixels to the device and prepares them as for all networks.
        preparation: what `prepare` does, in plain values: part of the key under which the network is kept.
    """

    images: Tensor
    labels: Tensor
    num_classes: int
    prepare: Prepare
    preparation: object

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images `(n, C, H, W)` and labels of some rows, prepared, on the device."""
        images = self.prepare(self.images[rows])
        return images, self.labels[rows].to(images.device)


def training_set(data: "ImageData", device: torch.device) -> TrainingSet:
    """Return the training images of a data module as the feature network learns them.

    Args:
        data: set up.
        device: where the network lives.
    """

    def prepare(pixels: Tensor) -> Tensor:
        return data.preprocessing_on(device)(pixels.to(device))

    channels = data.preprocessing.normalization
    preparation = [channels.mean, channels.std, data.zca]
    return TrainingSet(data.train_images, data.train_labels, data.num_classes, prepare, preparation)


class TrainedFeatures:
    """A network trained on the whole training set.

    Args:
        data: the training set.
        network: in eval mode, on the device.
        history: `(E, N)`, whether it was right about each image when it was shown it in each epoch.
    """

    def __init__(self, data: TrainingSet, network: Network, history: Tensor) -> None:
        self.data = data
        self.network = network.eval()
        self.history = history

    @torch.no_grad()
    def of(self, rows: Tensor) -> Tensor:
        """Return the features `(n, F)` of training images `(n,)`, on the device."""
        return torch.cat([self.network.features(images) for images in self._prepared(rows)])

    @torch.no_grad()
    def probabilities(self, rows: Tensor) -> Tensor:
        """Return the class probabilities `(n, num_classes)` that it gives training images `(n,)`, on the device."""
        return torch.cat([self.network(images).softmax(1) for images in self._prepared(rows)])

    def _prepared(self, rows: Tensor) -> Iterator[Tensor]:
        chunk = chunk_size(None, self.network, self.data.images)  # on the CPU, whatever the network is on
        return (self.data.batch(part)[0] for part in rows.split(chunk))


def train_features(
    data: TrainingSet,
    factory: NetworkFactory,
    epochs: int,
    seed: int,
    device: torch.device,
    cache: bool = True,
    progress: bool = False,
) -> TrainedFeatures:
    """Train the feature network, or take it from the cache folder where it was trained on the same images before.

    Args:
        data: the training set.
        factory: builds the network.
        epochs: E, passes over the training set.
        seed: its initial weights and the order of the images depend on it.
        device: where it is trained.
        cache: whether to keep it on disk.
        progress: whether to show a progress bar.

    Raises:
        UserError: the network has no features, or there is no epoch.
    """
    if epochs < 1:
        raise UserError(f"--model.feature_epochs is a number of epochs, at least 1, and cannot be {epochs}.")
    weights = generator(seed, "features/weights", device=device)
    network = build(factory, tuple(data.images.shape[1:]), data.num_classes, weights, device)
    if not isinstance(network, Network):
        raise UserError(f"A coreset needs a network with features, and {type(network).__name__} has none; use ConvNet.")

    def learn() -> dict[str, Tensor]:
        history = _learn(network, data, epochs, seed, progress)
        return {"history": history, **{name: tensor.cpu() for name, tensor in network.state_dict().items()}}

    state = cached([], _key(data, network, epochs, seed, device), learn) if cache else learn()
    history = state.pop("history")
    network.load_state_dict(state)
    return TrainedFeatures(data, network, history)


def _learn(network: Network, data: TrainingSet, epochs: int, seed: int, progress: bool) -> Tensor:
    """Train in place; return whether each image was classified rightly when it was shown, `(E, N)`."""
    optimizer = torch.optim.SGD(network.parameters(), LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    history = torch.zeros(epochs, len(data.labels), dtype=torch.bool)
    network.train()
    right: list[Tensor] = []

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        right.append(logits.argmax(1) == labels)
        return F.cross_entropy(logits, labels)

    for epoch in tqdm(range(epochs), "training the network for the coreset", leave=False, disable=not progress):
        order = torch.randperm(len(data.labels), generator=generator(seed, "features/order", epoch))
        right.clear()
        train_network(network, map(data.batch, order.split(BATCH_SIZE)), loss, optimizer)
        history[epoch, order] = torch.cat(right).cpu()
    return history


def _key(data: TrainingSet, network: nn.Module, epochs: int, seed: int, device: torch.device) -> dict[str, object]:
    """Return everything that the trained network depends on, in plain values."""
    digest = hashlib.blake2b(data.images.contiguous().numpy(), digest_size=16)
    digest.update(data.labels.contiguous().numpy())
    return {
        "features of": str(network),
        "shape": list(data.images.shape),
        "pixels and labels": digest.hexdigest(),
        "preparation": data.preparation,
        "recipe": [LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, BATCH_SIZE],
        "epochs": epochs,
        "seed": seed,
        "device": device.type,  # other devices round otherwise
    }
