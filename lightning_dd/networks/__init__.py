"""Networks: `forward(x)` gives logits, `features(x)` what the classifier sees, `initialize(generator)` new weights."""

from lightning_dd.networks.base import Network
from lightning_dd.networks.build import NetworkFactory, build
from lightning_dd.networks.convnet import ConvNet
from lightning_dd.networks.dd_networks import AlexCifarNet, DDLeNet

__all__ = ["AlexCifarNet", "ConvNet", "DDLeNet", "Network", "NetworkFactory", "build"]
