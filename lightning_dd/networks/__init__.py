"""Networks: `forward(x)` gives logits, `features(x)` what the classifier sees, `initialize(generator)` new weights."""

from lightning_dd.networks.base import Network
from lightning_dd.networks.build import NetworkFactory, build
from lightning_dd.networks.convnet import ConvNet
from lightning_dd.networks.custom import Custom
from lightning_dd.networks.dd_networks import AlexCifarNet, DDLeNet
from lightning_dd.networks.external import Timm, Torchvision
from lightning_dd.networks.frepo import FRePoNet
from lightning_dd.networks.lenet import LeNet
from lightning_dd.networks.mlp import MLP
from lightning_dd.networks.resnet import ResNet18, ResNet18_AP
from lightning_dd.networks.stacks import VGG11, AlexNet

__all__ = [
    "MLP",
    "VGG11",
    "AlexCifarNet",
    "AlexNet",
    "ConvNet",
    "Custom",
    "DDLeNet",
    "FRePoNet",
    "LeNet",
    "Network",
    "NetworkFactory",
    "ResNet18",
    "ResNet18_AP",
    "Timm",
    "Torchvision",
    "build",
]
