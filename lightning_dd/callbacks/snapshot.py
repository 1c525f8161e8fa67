"""The synthetic set of a running method, as the data set that it will leave behind."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.errors import UserError


def distilled_set(trainer: Trainer, module: LightningModule, record: dict[str, Any] | None = None) -> DistilledDataset:
    """Return the method's synthetic set as it is now, on the CPU.

    Raises:
        UserError: the images are not finite.
    """
    images, labels = (tensor.detach().float() if tensor.is_floating_point() else tensor for tensor in module.decode())
    if not images.isfinite().all():
        raise UserError("The synthetic images are not finite; lower {lr} or set {clip}.")
    data = trainer.datamodule
    preprocessing = data.preprocessing
    return DistilledDataset(
        images=preprocessing.inverse(images.cpu()),
        labels=labels.cpu(),
        class_names=data.class_names,
        preprocessing=preprocessing,
        label_kind=module.label_kind,
        recipe={"protocol": module.protocol, **module.recipe()},
        tensors={name: tensor.detach().cpu() for name, tensor in module.recipe_tensors().items()},
        info={"paper": module.paper, **(record or {})},
    )
