"""The feature network of a run, for images that start from a coreset."""

from lightning.pytorch import Trainer

from lightning_dd.networks import NetworkFactory
from lightning_dd.training.data import training_set
from lightning_dd.training.features import TrainedFeatures, train_features


def run_features(trainer: Trainer, factory: NetworkFactory, epochs: int, seed: int) -> TrainedFeatures:
    """Return a network trained on the run's training images, on the run's device.

    Args:
        trainer: of the run, with its data set up.
        factory: builds the network.
        epochs: passes over the training images.
        seed: of the run.
    """
    data, device = trainer.datamodule, trainer.strategy.root_device
    progress = trainer.progress_bar_callback is not None and trainer.is_global_zero
    return train_features(training_set(data, device), factory, epochs, seed, device, data.cache, progress)
