"""Methods that compare real and synthetic images of each class: one update, a plain loop over classes against ours.

No network is trained meanwhile, or before: its weights do not matter to a clock.
"""

from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from benchmarks.sides import PLAIN, USUAL, Side, grid, sweep
from benchmarks.worker import common
from lightning_dd.data.sampling import Batch
from lightning_dd.methods import DANCE, DC, DM, DSDM, IDC, IDM, NCFM, DataDAM
from lightning_dd.methods.class_balanced import ClassBalancedDistiller
from lightning_dd.networks import Network
from lightning_dd.rng import generator
from lightning_dd.training.queue import NetworkQueue
from lightning_dd.training.sources import NetworkSource, RandomNetworks
from reference import datadam, dc, distributions, dm, idc
from reference.dm import Pairs

Losses = Callable[[Any, Network, Pairs], Iterator[Tensor]]
"""The plain form: called with the method, its network, and real and synthetic images of each class."""


class UntrainedQueue(NetworkQueue):
    """A queue whose networks learn nothing; half of their answers pass for right."""

    def at(self, iteration: int) -> Network:
        """Return the network of an iteration."""
        network = super().at(iteration)
        self.accuracy = torch.tensor(0.5, device=self.context.device)
        return network

    def update(self, *_: object) -> None:
        """Do nothing."""


def pairs(method: ClassBalancedDistiller, batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the real images `(B, C, H, W)` of each class and its synthetic ones, decoded then, both augmented."""
    draw = method.draw_augmentation(batch.classes)
    for place, real in enumerate(batch.images):
        images, part = _synthetic(method, batch.classes[[place]]), None if draw is None else draw[[place]]
        yield method.augment(part, real[None])[0], method.augment(part, images[None])[0]


def _synthetic(method: ClassBalancedDistiller, label: Tensor) -> Tensor:
    count = method.synthetic.images_per_class
    if count > getattr(method, "synthetic_per_class", count):
        return method.images_to_match(method.synthetic, label)[0]
    return method.synthetic.images((label * count + torch.arange(count)).to(method.device))


def _dance(method: DANCE, network: Network, pairs: Pairs) -> Iterator[Tensor]:
    return distributions.dance(network.features, method.networks.trained(method.iteration), pairs, method.calibration)


def _ncfm(method: NCFM, network: Network, pairs: Pairs) -> Iterator[Tensor]:
    weight, trained = network.classifier.weight, method.networks.trained(method.iteration)
    draws = generator(method.seed, "frequencies", method.iteration, weight.device)
    shape = method.frequencies, weight.shape[1]
    frequencies = torch.randn(shape, generator=draws, device=weight.device).to(weight.dtype)
    return distributions.ncfm(network.features, trained, frequencies, pairs, method.calibration, method.scale)


def _dsdm(method: DSDM, network: Network, pairs: Pairs) -> Iterator[Tensor]:
    return distributions.dsdm(network.features, pairs, {}, method.covariance)


def _datadam(method: DataDAM, network: Network, pairs: Pairs) -> Iterator[Tensor]:
    return datadam.losses(network, pairs, method.power, method.features)


def _idm(method: IDM, network: Network, pairs: Pairs) -> Iterator[Tensor]:
    weight = method.cross_entropy * 100 * method.networks.accuracy
    return distributions.idm(network.features, network.classifier, pairs, weight)


def _task(
    kind: type[ClassBalancedDistiller],
    losses: Losses,
    real_per_class: int = 256,
    networks: type[NetworkSource] | None = None,
    defaults: Mapping[str, int] | None = None,
    sides: Mapping[str, Side] | None = None,
    **settings: Any,
) -> SimpleNamespace:
    """Return the task of a method.

    Args:
        kind: the method.
        losses: its plain form.
        real_per_class: real images of each class in a step, by default.
        networks: in place of the method's, where these would be trained first.
        defaults: of the tool's options.
        sides: for `--sweep`.
        **settings: of the method.
    """

    def method(side: Side, options: Namespace) -> ClassBalancedDistiller:
        own = {"real_per_class": options.real_per_class, "networks": networks and networks()}
        return kind(**own, **settings, **common(side, options))

    def loss(method: ClassBalancedDistiller, network: Network, batch: Batch) -> Iterator[Tensor]:
        return losses(method, network, pairs(method, batch))

    return SimpleNamespace(
        __doc__=f"{kind.__name__}: one update of the synthetic images, the plain loop over classes against ours.",
        SIDES=USUAL,
        GRID=grid(),
        SWEEP={PLAIN: Side("plain"), **(sides or sweep("real_chunk", 32, 64, 128, 256, 512, 2560))},
        OPTIONS={"real_per_class": (real_per_class, "real images of each class in a step")},
        DEFAULTS=defaults or {},
        method=method,
        loss=loss,
    )


SHORT = {"steps": 3, "warmup": 1}
_gradients = partial(
    _task,
    outer_loops=1,  # a new network at every step
    sides={**sweep("real_chunk", 16, 32, 64, 128, 256), **sweep("class_chunk", 2, 5, 10)},
)
TASKS = {  # those of DANCE, NCFM, DSDM and IDC have a rate, which they would otherwise take from the data
    "dm": _task(DM, lambda _, network, pairs: dm.losses(network.features, pairs)),
    "dance": _task(DANCE, _dance, 128, RandomNetworks, lr=1.0),
    "ncfm": _task(NCFM, _ncfm, 1024, RandomNetworks, lr=0.01),
    "dsdm": _task(DSDM, _dsdm, networks=RandomNetworks, lr=1.0),
    "idm": _task(IDM, _idm, networks=UntrainedQueue),
    "datadam": _task(DataDAM, _datadam, 64),
    "dc": _gradients(DC, lambda _, *given: dc.losses(*given), defaults={**SHORT, "ipc": 1}),
    "idc": _gradients(IDC, lambda _, *given: idc.losses(*given), 64, defaults=SHORT, lr=0.1),
}
