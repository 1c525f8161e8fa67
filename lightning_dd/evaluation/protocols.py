"""Named ways to train a network on a small set, each as its paper or official code does it."""

from collections.abc import Callable
from dataclasses import replace

from torch import nn

from lightning_dd.errors import UserError
from lightning_dd.evaluation.cutmix import CutMixProtocol
from lightning_dd.evaluation.frepo import FRePoProtocol
from lightning_dd.evaluation.kd import KDProtocol
from lightning_dd.evaluation.kernel import KernelProtocol
from lightning_dd.evaluation.learned_schedule import LearnedScheduleProtocol
from lightning_dd.evaluation.protocol import CommonProtocol, DCProtocol, LearnedLRProtocol, Protocol
from lightning_dd.runtime.paths import import_object

_DC = DCProtocol("dc", "Dataset Condensation with Gradient Matching (arXiv 2006.05929)", 300)
_DATM = "Difficulty-Aligned Trajectory Matching (arXiv 2310.05773)"
_DCBENCH_DSA = "DC-BENCH (arXiv 2207.09639), with DSA, always by all six operations, digits without flip"
_NCFM = "Neural Characteristic Function (arXiv 2502.20653)"
_FIFTHS = (1 / 5, 2 / 5, 3 / 5, 4 / 5)
_COMMON = "for comparing methods: DSA augmentation for all, "

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        _DC,
        Protocol("dsa", "Differentiable Siamese Augmentation (arXiv 2102.08259)", 1000, "dsa"),
        Protocol("dm", "Distribution Matching (arXiv 2110.04181)", 1000, "dsa"),
        LearnedLRProtocol("mtt", "Matching Training Trajectories (arXiv 2203.11932)", 1000, "dsa"),
        LearnedLRProtocol("datm", _DATM, 1000, "dsa", batch_size=128, labels="soft"),
        LearnedScheduleProtocol("dd", "Dataset Distillation (arXiv 1811.10959)", None, random_real=_DC),
        FRePoProtocol("frepo", "Neural Feature Regression (arXiv 2206.00719)"),
        KernelProtocol("krr", "Kernel Ridge-Regression (arXiv 2011.00050): no network, the kernel itself"),
        Protocol("datadam", "Attention Matching (arXiv 2310.00093)", 1800, "dsa", batch_size=64),
        CutMixProtocol("idc", "Synthetic-Data Parameterization (arXiv 2205.14959)", 1000, unmixed=("mnist",)),
        CutMixProtocol("dance", "Dual-View Distribution Alignment (arXiv 2406.01063): 1,500 epochs, else as IDC", 1500),
        CutMixProtocol("ncfm", _NCFM, 2000, learning_rate=1e-3, batch_size=128, drops=_FIFTHS, drop=0.5, adam=True),
        KDProtocol("kd", "RDED (arXiv 2312.03526): a teacher's labels for every augmented view", 300),
        Protocol("dcbench", "DC-BENCH (arXiv 2207.09639), without augmentation", 300),
        CommonProtocol("dcbench_dsa", _DCBENCH_DSA, 1000, "dsa"),
        CommonProtocol("common", f"{_COMMON}hard labels", 1000, "dsa"),
        CommonProtocol("common_soft", f"{_COMMON}soft labels where a set has them", 1000, "dsa", labels="soft"),
    )
}


def find_protocol(
    name: str, epochs: int | None = None, data: str = "", network: Callable[[], nn.Module] | None = None
) -> Protocol:
    """Return a named protocol in the form that it has for a data set and a network.

    Args:
        name: a key of `PROTOCOLS`, or the path of a protocol of the user's, such as `mymodule.MINE`.
        epochs: E in place of the published number.
        data: name of the data set; see each protocol's `for_data`.
        network: makes one of those that will be trained.

    Raises:
        UserError: the name is unknown, or the number of epochs is not positive or has no meaning here.
    """
    protocol = _at_path(name) if "." in name else PROTOCOLS.get(name)
    if protocol is None:
        raise UserError(f"There is no evaluation protocol '{name}'; choose one of {', '.join(PROTOCOLS)}.")
    made = network() if network is not None and protocol.trains_networks else None
    return protocol.for_data(data, made).with_epochs(epochs)


def _at_path(path: str) -> Protocol:
    found = import_object(path, "protocol")
    if not isinstance(found, Protocol):
        raise UserError(f"{path} is no protocol: give the path of a lightning_dd.evaluation.Protocol.")
    return replace(found, name=path)
