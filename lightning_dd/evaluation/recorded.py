"""Training on a distilled set as its record says, and the accuracy of a network on test images."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.labels import Labels
from lightning_dd.data.folder import name_of
from lightning_dd.data.lazy import prepared
from lightning_dd.data.sources import by_names, is_folder, read_source
from lightning_dd.data.splits import TEST_FRACTION
from lightning_dd.errors import IN_PYTHON, UserError
from lightning_dd.evaluation.evaluate import fit_network
from lightning_dd.evaluation.protocol import Protocol
from lightning_dd.evaluation.protocols import PROTOCOLS, find_protocol
from lightning_dd.networks import NetworkFactory
from lightning_dd.networks.build import sample
from lightning_dd.networks.named import named_network, recorded_network
from lightning_dd.training.loop import Classifier, accuracy


def train_recorded(
    distilled: DistilledDataset,
    network: str | NetworkFactory | nn.Module | None = None,
    protocol: str | None = None,
    seed: int = 0,
    epochs: int | None = None,
) -> nn.Module:
    """Train a network on a set; see `DistilledDataset.train`."""
    with _python_words():
        record = (distilled.info.get("evaluations") or [{}])[-1]
        if isinstance(network, nn.Module):
            _check_outputs(network, distilled)
        factory = _factory(distilled, network, record)
        found = _protocol(distilled, protocol, epochs, record, factory)
        examples = distilled.prepared, Labels(distilled.labels, distilled.label_kind)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        own, place = network if isinstance(network, nn.Module) else factory, (device, torch.get_default_dtype())
        with torch.inference_mode(False), torch.enable_grad():
            trained = fit_network(examples, distilled, own, found, seed, 0, place)
        return trained.eval()


def measure_accuracy(distilled: DistilledDataset, test: Any, network: Classifier | None = None) -> float:
    """Return the accuracy in percent of a network on test images; see `DistilledDataset.evaluate`."""
    with _python_words():
        images, labels = _test_images(distilled, test)
        network = train_recorded(distilled) if network is None else network
        _check_outputs(network, distilled)
        place = _place(network, distilled)

        def classify(pixels: Tensor) -> Tensor:
            return network(distilled.preprocess(pixels).to(place)).cpu()

        with _in_eval_mode(network):
            return round(accuracy(classify, images, labels), 3)


def _place(network: Classifier, distilled: DistilledDataset) -> Tensor:
    """Return a tensor of the device and precision in which a network takes images."""
    images = distilled.prepared[:1]
    return next(network.parameters(), images) if isinstance(network, nn.Module) else images


def _check_outputs(network: Classifier, distilled: DistilledDataset) -> None:
    """Raise a `UserError` where a network does not give a logit for each class of one of the set's images."""
    image = distilled.prepared[:1]
    with _in_eval_mode(network), torch.no_grad():
        try:
            logits = network(image.to(_place(network, distilled)))
        except Exception as error:  # a user's network, which may raise anything
            shape, reason = "x".join(map(str, distilled.image_shape)), str(error).split("\n")[0].rstrip(".")
            raise UserError(f"The network does not take images of {shape} ({reason}).") from None
    if not isinstance(logits, Tensor):
        raise UserError(f"The network gives a {type(logits).__name__}: a tensor of logits is needed.")
    if logits.ndim != 2 or logits.shape[1] < distilled.num_classes:
        found = tuple(logits.shape)
        raise UserError(f"The network gives {found} for one image: the set needs (1, {distilled.num_classes}).")


@contextmanager
def _in_eval_mode(network: Classifier) -> Iterator[None]:
    """Put a module and all in it into eval mode, and each back: frozen parts may have been in it."""
    modules = list(network.modules()) if isinstance(network, nn.Module) else []
    before = [module.training for module in modules]
    for module in modules[:1]:
        module.eval()
    try:
        yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.training = training


@contextmanager
def _python_words() -> Iterator[None]:
    """Name options as the arguments of these functions: `protocol` for that of an evaluation."""
    try:
        yield
    except UserError as error:
        raise UserError(error.worded(lambda option: IN_PYTHON.get(option, option.rpartition(".")[2]))) from None


def _factory(
    distilled: DistilledDataset, network: str | NetworkFactory | nn.Module | None, record: dict[str, Any]
) -> NetworkFactory:
    """Return what makes the network: by name, itself, or as it is recorded."""
    if isinstance(network, nn.Module):
        return lambda image_shape, num_classes: network
    if network is None:
        made_from = record.get("network_made_from") or distilled.recipe.get("network")
        if not made_from or not _matches_record(made_from, distilled, record):
            raise UserError("The set does not say how its network was made: give network, such as 'ConvNet'.")
        return recorded_network(made_from)
    return named_network(network) if isinstance(network, str) else network


def _matches_record(made_from: dict[str, Any], distilled: DistilledDataset, record: dict[str, Any]) -> bool:
    """Return whether a network is the evaluated one, as far as the record knows that by name."""
    protocol = PROTOCOLS.get(record.get("protocol", ""))  # None: one of the user's own
    if "network_made_from" in record or "network" not in record or not (protocol and protocol.trains_networks):
        return True
    network = sample(recorded_network(made_from), distilled.image_shape, distilled.num_classes)
    return record["network"] == getattr(network, "description", type(network).__name__)


def _protocol(
    distilled: DistilledDataset,
    name: str | None,
    epochs: int | None,
    record: dict[str, Any],
    network: NetworkFactory,
) -> Protocol:
    """Return the protocol, bound to the set: that of the name, or the recorded one with its number of epochs."""
    recorded = record.get("protocol") or distilled.recipe.get("protocol", "common")
    if name is None and recorded not in PROTOCOLS:  # what files say is not imported
        raise UserError(f"The set goes by '{recorded}', a protocol of its maker's: give protocol, such as 'common'.")
    if name is None and epochs is None:
        epochs = record.get("epochs")
    made: Callable[[], nn.Module] = partial(sample, network, distilled.image_shape, distilled.num_classes)
    found = find_protocol(name or recorded, epochs, distilled.info.get("dataset", ""), made)
    if not found.trains_networks:
        scored = "The set was scored by a kernel" if name is None else f"Protocol {found.name} scores by a kernel"
        raise UserError(f'{scored}, which trains no network: give protocol="common" to train one.')
    return found.bind(distilled.recipe)


def _test_images(distilled: DistilledDataset, test: Any) -> tuple[Tensor, Tensor]:
    """Return test images in the set's shape, not preprocessed, and their labels by the set's class names."""
    made_of = distilled.info.get("config", {}).get("data", {})
    options = made_of.get("init_args") or {}
    crop = bool(distilled.recipe.get("crop", options.get("crop")))  # older sets have it in their config alone
    of_folder = str(made_of.get("class_path")).endswith("ImageFolder") and is_folder(test)
    again = of_folder and name_of(Path(test).expanduser()) == distilled.info.get("dataset")
    fraction = options.get("test_fraction", TEST_FRACTION) if again else None  # else its training images are among them
    skip = "skip" if options.get("on_unreadable") == "skip" else None
    size = distilled.image_shape[1:]
    images, labels, names = read_source(test, "test", size, crop, on_unreadable=skip, test_fraction=fraction)
    if images.shape[1] != distilled.image_shape[0]:
        images = prepared(images, partial(_in_channels, channels=distilled.image_shape[0]))
    labels = by_names(labels, names, distilled.class_names, "the distilled set")
    if int(labels.max()) >= distilled.num_classes:
        raise UserError(f"The test images have a label {int(labels.max())}, and there are {distilled.num_classes}.")
    return images, labels


def _in_channels(images: Tensor, channels: int) -> Tensor:
    """Return images in color as gray ones, or gray ones as images in color."""
    from torchvision.transforms.v2 import functional as transforms

    return transforms.rgb_to_grayscale(images) if channels == 1 else images.expand(-1, channels, -1, -1)
