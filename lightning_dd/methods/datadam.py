"""DataDAM: match the spatial attention of every layer, and mean features, under random networks."""

from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn

from lightning_dd.errors import OptionError
from lightning_dd.losses import attention_map, feature_mean_distance
from lightning_dd.methods.dm import DM, Embedding
from lightning_dd.networks import Network
from lightning_dd.networks.build import check_features
from lightning_dd.runtime.compile import compiled
from lightning_dd.runtime.options import NonNegativeFloat, PositiveFloat, PositiveInt
from lightning_dd.runtime.precision import at_least_float32


class DataDAM(DM):
    """DataDAM: Efficient Dataset Distillation with Attention Matching (Sajedi et al., ICCV 2023, arXiv 2310.00093).

    As `DM`, with more to match: the mean attention map of each layer but the last, which is the sum over channels of
    its activations to a power, scaled to length 1 for each image; and the mean features h with a weight:
    `100 sum_c (sum_l ||mean a_l(T_c) - mean a_l(S_c)||² + w ||mean h(T_c) - mean h(S_c)||²)`.

    Paper and official program differ. From the paper's table: a power of 4 (there 1) and instance normalization (there
    batch normalization, which the authors advise: `network` with `norm: batch`). From the program: the factor 100,
    20,000 steps (in the paper 8,000), the evaluation, and three blocks for 64 pixels, where ours has four.

    Args:
        power: of the activations.
        features: w, the weight of the features; the paper has 0.02 above 64x64 pixels.
        real_per_class: real images of each class in a step.
        **options: those of `DM`.

    Raises:
        OptionError: the network has no ReLU modules of its own, one after another.
    """

    paper = "DataDAM: Efficient Dataset Distillation with Attention Matching (ICCV 2023, arXiv 2310.00093)"
    published_steps = 20_000
    protocol = "datadam"
    scale = 100.0

    def __init__(
        self,
        ipc: PositiveInt,
        power: PositiveFloat = 4.0,
        features: NonNegativeFloat = 0.01,
        real_per_class: PositiveInt = 64,
        **options: Any,
    ) -> None:
        super().__init__(ipc, real_per_class=real_per_class, **options)
        self.power, self.features = power, features

    def embedding(self, network: Network) -> Embedding:
        """Return attention maps and weighted features in one vector: their means' distance is the sum of distances."""
        check_features(network)
        activations = [module for module in _convolutional(network) if isinstance(module, nn.ReLU)]
        if len(activations) < 2:
            raise OptionError(
                "network", "has fewer than two ReLU layers of its own to match: use ConvNet, AlexNet, VGG"
            )
        attentive = vars(network).setdefault("_attentive", _Attentive(network, activations[-1], self))
        return compiled(attentive.embed, self.compile_objective)

    def distance(self, real: Tensor, synthetic: Tensor) -> Tensor:
        """Return the scaled squared distance of means, summed over classes."""
        return self.scale * feature_mean_distance(real, synthetic)


class _Attentive:
    """A network's attention maps and features; kept with the network, so that it is compiled once."""

    def __init__(self, network: Network, last: nn.Module, method: DataDAM) -> None:
        self.network, self.last = network, last
        self.power, self.root = method.power, method.features**0.5

    def embed(self, x: Tensor) -> Tensor:
        """Return `(N, H_1 W_1 + ... + F)` of images `(N, C, H, W)`."""
        found, maps = [], _convolutional(self.network)
        for number, module in enumerate(self.network.trunk()):
            x = module(x)
            if number < len(maps) and isinstance(module, nn.ReLU) and module is not self.last:
                found.append(attention_map(at_least_float32(x), self.power))
        return torch.cat([*found, self.root * at_least_float32(self.network.flatten(x))], 1)


def _convolutional(network: Network) -> list[nn.Module]:
    """Return the modules whose outputs are maps."""
    return list(takewhile(lambda module: not isinstance(module, nn.Flatten), network.trunk()))
