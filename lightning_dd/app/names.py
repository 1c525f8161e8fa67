"""Plain tables of the methods, data, networks and protocols: a command that lists them need not import torch.

`tests/app/test_names.py` holds them against the classes.
"""

from typing import NamedTuple


class Method(NamedTuple):
    """A method: what it does, its paper, its published steps (at 1 image per class), whether it learns images."""

    about: str
    paper: str = ""
    steps: int | None = None
    learns: bool = True


METHODS = {
    "DD": Method(
        "differentiates through a short training, exactly; with momentum or Adam too",
        "Dataset Distillation (2018, arXiv 1811.10959)",
        23_600,
    ),
    "RaTBPTT": Method(
        "DD through a random window of a long training",
        "Embarrassingly Simple Dataset Distillation (ICLR 2024, arXiv 2311.07025)",
        600_000,
    ),
    "DC": Method(
        "matches gradients, class by class",
        "Dataset Condensation with Gradient Matching (ICLR 2021, arXiv 2006.05929)",
        1000,
    ),
    "DSA": Method(
        "DC under one augmentation for real and synthetic images",
        "Dataset Condensation with Differentiable Siamese Augmentation (ICML 2021, arXiv 2102.08259)",
        1000,
    ),
    "IDC": Method(
        "DC for more images in the same budget, under networks that learn real images",
        "Dataset Condensation via Efficient Synthetic-Data Parameterization (ICML 2022, arXiv 2205.14959)",
        200_000,
    ),
    "DREAM": Method(
        "IDC on real images that k-means chooses",
        "DREAM: Efficient Dataset Distillation by Representative Matching (ICCV 2023, arXiv 2302.14416)",
        200_000,
    ),
    "AccDD": Method(
        "IDC from networks of two epochs, perturbed",
        "Accelerating Dataset Distillation via Model Augmentation (CVPR 2023, arXiv 2212.06152)",
        50_000,
    ),
    "DM": Method(
        "matches mean features under random networks",
        "Dataset Condensation with Distribution Matching (WACV 2023, arXiv 2110.04181)",
        20_000,
    ),
    "DataDAM": Method(
        "DM with the spatial attention of every layer",
        "DataDAM: Efficient Dataset Distillation with Attention Matching (ICCV 2023, arXiv 2310.00093)",
        20_000,
    ),
    "IDM": Method(
        "DM under a growing queue of networks that learn real images meanwhile, with cross-entropy",
        "Improved Distribution Matching for Dataset Condensation (CVPR 2023, arXiv 2307.09742)",
        20_000,
    ),
    "DANCE": Method(
        "DM under networks trained beforehand, between first and last weights, with cross-entropy",
        "Dual-View Distribution Alignment for Dataset Condensation (IJCAI 2024, arXiv 2406.01063)",
        10_000,
    ),
    "DSDM": Method(
        "DM under trained networks, with covariances",
        "Diversified Semantic Distribution Matching for Dataset Distillation (ACM MM 2024)",
        10_000,
    ),
    "NCFM": Method(
        "DANCE with characteristic functions in place of means",
        "Dataset Distillation with Neural Characteristic Function (CVPR 2025, arXiv 2502.20653)",
        20_000,
    ),
    "MTT": Method(
        "matches the trajectories of experts, networks trained on the real images",
        "Dataset Distillation by Matching Training Trajectories (CVPR 2022, arXiv 2203.11932)",
        5000,
    ),
    "TESLA": Method(
        "MTT with the gradient of each inner step computed for itself, in constant memory",
        "Scaling Up Dataset Distillation to ImageNet-1K with Constant Memory (ICML 2023, arXiv 2211.10586)",
        10_000,
    ),
    "DATM": Method(
        "MTT from the range of epochs that suits the number of images; learns labels too",
        "Towards Lossless Dataset Distillation via Difficulty-Aligned Trajectory Matching "
        "(ICLR 2024, arXiv 2310.05773)",
        10_000,
    ),
    "FRePo": Method(
        "ridge regression on features of a pool of networks; learns labels too",
        "Dataset Distillation using Neural Feature Regression (NeurIPS 2022, arXiv 2206.00719)",
        500_000,
    ),
    "KIP": Method(
        "ridge regression with the kernel of an infinitely wide network; may learn labels too",
        "Dataset Meta-Learning from Kernel Ridge-Regression (ICLR 2021, arXiv 2011.00050)",
        1000,
    ),
    "Coreset": Method(
        "chooses real images: random, herding, k-center, forgetting, k-means",
        "Coreset of real images, as a baseline of Dataset Condensation (ICLR 2021, arXiv 2006.05929)",
        1,
        learns=False,
    ),
    "RDED": Method(
        "crops of real images that a teacher is sure of; the teacher labels every view",
        "On the Diversity and Realism of Distilled Dataset (CVPR 2024, arXiv 2312.03526)",
        1,
        learns=False,
    ),
    "Experts": Method("trains the networks on real images whose trajectories MTT, TESLA and DATM match", learns=False),
}


class Data(NamedTuple):
    """A data set: what it is; of a known one `(C, H, W)` and the numbers of classes and of training images."""

    about: str
    shape: tuple[int, int, int] | None = None
    classes: int | None = None
    images: int | None = None


DATA = {
    "Digits": Data("hand-written digits that come with scikit-learn: no download", (1, 8, 8), 10),
    "MNIST": Data("hand-written digits", (1, 28, 28), 10, 60_000),
    "FashionMNIST": Data("articles of clothing", (1, 28, 28), 10, 60_000),
    "SVHN": Data("house numbers", (3, 32, 32), 10, 73_257),
    "CIFAR10": Data("animals and vehicles", (3, 32, 32), 10, 50_000),
    "CIFAR100": Data("a hundred kinds of things", (3, 32, 32), 100, 50_000),
    "TinyImageNet": Data("two hundred classes of ImageNet, made small", (3, 64, 64), 200, 100_000),
    "ImageFolder": Data("your own images: a folder with a subfolder for each class"),
    "Parquet": Data("Parquet files in the layout of the Hugging Face hub"),
    "FromDataset": Data("any torch data set of images, from Python: lightning_dd.distill"),
}

NETWORKS = {
    "ConvNet": "blocks of 3x3 convolution, normalization, activation and pooling: what most papers distill with",
    "MLP": "two hidden layers",
    "LeNet": "two 5x5 convolutions and three linear layers",
    "AlexNet": "five convolutions",
    "VGG11": "eight 3x3 convolutions",
    "ResNet18": "residual blocks, strided",
    "ResNet18_AP": "ResNet18 with average pooling in place of strides",
    "DDLeNet": "LeNet as DD has it",
    "AlexCifarNet": "DD's network for CIFAR-10",
    "FRePoNet": "FRePo's ConvNet, twice as wide in each block",
    "Torchvision": "any classifier of torchvision by its name: --evaluation.network.name mobilenet_v3_small",
    "Timm": "any classifier of timm by its name",
    "Custom": "any module of yours by its path: --evaluation.network.name mymodule.Net",
}

PROTOCOLS = {
    "common": "for comparing methods: hard labels and DSA augmentation for all",
    "common_soft": "the same, with soft labels where a set has them",
    "dc": "Dataset Condensation with Gradient Matching",
    "dsa": "Differentiable Siamese Augmentation",
    "dm": "Distribution Matching",
    "mtt": "Matching Training Trajectories: at the learned step size",
    "datm": "Difficulty-Aligned Trajectory Matching: at the learned step size, on soft labels",
    "dd": "Dataset Distillation: the learned training steps themselves",
    "frepo": "Neural Feature Regression: regression on learned labels",
    "krr": "Kernel Ridge-Regression: no network, the kernel itself",
    "datadam": "Attention Matching",
    "idc": "Synthetic-Data Parameterization: a chain of operations and CutMix",
    "dance": "Dual-View Distribution Alignment: as idc, 1,500 epochs",
    "ncfm": "Neural Characteristic Function: as idc, AdamW, 2,000 epochs",
    "kd": "knowledge distillation as in RDED: a teacher's labels for every augmented view",
    "dcbench": "DC-BENCH, without augmentation",
    "dcbench_dsa": "DC-BENCH, with DSA augmentation",
}

CODECS = {
    "Pixels": "the images themselves",
    "Tiles": "several smaller images in one: --model.codec.factor 2 for four",
    "Frequencies": "a few frequencies of each image: --model.codec.keep 64",
}

SOURCES = {
    "RandomNetworks": "fresh random networks",
    "TrainedNetworks": "networks trained between steps on the synthetic or the real images",
    "EarlyNetworks": "the same, from networks of a few epochs, perturbed",
    "NetworkPool": "a pool of networks of different ages",
    "NetworkQueue": "a growing queue of networks that learn real images",
    "PretrainedNetworks": "networks trained on the real images beforehand and kept in the cache",
    "SavedNetwork": "one network, with the weights in a file: --model.networks.weights teacher.pt",
}
