"""The network in whose feature space coresets are chosen."""

import torch
from torch import Tensor

from lightning_dd.errors import check_number
from lightning_dd.networks import Network, NetworkFactory
from lightning_dd.runtime.bars import tqdm
from lightning_dd.training.chunks import chunk_size
from lightning_dd.training.data import TrainingSet
from lightning_dd.training.pretrained import trained_network
from lightning_dd.training.recipes import steps_per_epoch


class TrainedFeatures:
    """A network trained on the whole training set; its features are the penultimate activations.

    Args:
        data: the training set.
        network: in eval mode, on the device.
        history: `(E, N)`, whether it classified each image rightly in each epoch.
    """

    def __init__(self, data: TrainingSet, network: Network, history: Tensor) -> None:
        self.data, self.network, self.history = data, network, history

    @torch.no_grad()
    def of(self, rows: Tensor) -> Tensor:
        """Return the features `(n, F)` of training images `(n,)`, on the device."""
        parts = rows.split(chunk_size(None, self.network, self.data.images))  # on the CPU, whatever the network is on
        return torch.cat([self.network.features(self.data.batch(part)[0]) for part in parts])

    @torch.no_grad()
    def probabilities(self, pixels: Tensor) -> Tensor:
        """Return the class probabilities `(n, num_classes)` that it gives images `(n, C, H, W)`, on the device."""
        parts = pixels.split(chunk_size(None, self.network, pixels))
        return torch.cat([self.network(self.data.preprocess(part)).softmax(1) for part in parts])


def train_features(
    data: TrainingSet,
    factory: NetworkFactory,
    epochs: int,
    seed: int,
    device: torch.device,
    cache: bool = True,
    progress: bool = False,
) -> TrainedFeatures:
    """Return a network trained by the recipe `plain`; see `trained_network` for the arguments.

    Raises:
        UserError: the network has no features, or there is no epoch.
    """
    check_number("feature_epochs", epochs)
    total, title = epochs * steps_per_epoch("plain", data), "training the network for the coreset"
    with tqdm(total=total, desc=title, leave=False, disable=not progress) as bar:
        trained = trained_network(data, factory, "plain", epochs, seed, device, cache, tick=bar.update)
    return TrainedFeatures(data, *trained)
