"""Lightning DD: dataset distillation methods as PyTorch Lightning modules.

Nothing heavy is imported until it is used: reading a distilled set needs torch and safetensors only.

The names here live elsewhere: `lightning_dd.app.api.distill`, `lightning_dd.app.functional.distill_tensors`,
`lightning_dd.artifact.dataset.DistilledDataset` and `lightning_dd.artifact.dataset.load`.
"""

from typing import TYPE_CHECKING, Any

from lightning_dd.version import __version__ as __version__

if TYPE_CHECKING:
    from lightning_dd.app.api import distill as distill
    from lightning_dd.app.functional import distill_tensors as distill_tensors
    from lightning_dd.artifact.dataset import DistilledDataset as DistilledDataset
    from lightning_dd.artifact.dataset import load as load


def __getattr__(name: str) -> Any:
    from importlib import import_module

    homes = {"load": "artifact.dataset", "DistilledDataset": "artifact.dataset"}
    homes |= {"distill": "app.api", "distill_tensors": "app.functional"}
    if name not in homes:
        raise AttributeError(f"module 'lightning_dd' has no attribute '{name}'")
    return getattr(import_module(f"lightning_dd.{homes[name]}"), name)
