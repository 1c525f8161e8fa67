"""The synthetic set of a running method as a distilled data set."""

from contextlib import suppress
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from lightning_dd.artifact.codecs import restore
from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.data.module import ImageData
from lightning_dd.errors import UserError
from lightning_dd.networks import Network
from lightning_dd.networks.build import sample


def distilled_set(trainer: Trainer, module: LightningModule, info: dict[str, Any] | None = None) -> DistilledDataset:
    """Return the method's synthetic set as it is now, on the CPU.

    Raises:
        UserError: the images are not finite.
    """
    codec, labels, data = module.synthetic.codec, module.synthetic.labels, trainer.datamodule
    stored = {name: tensor.cpu() for name, tensor in codec.state_dict().items()}
    stored["images"], values = module.stored_images().cpu(), labels.values.detach().cpu()
    if not stored["images"].isfinite().all():
        raise UserError("The synthetic images are not finite; lower {lr} or set {clip}.")
    return DistilledDataset(
        images=None,
        labels=values.float() if values.is_floating_point() else values,
        class_names=data.class_names,
        preprocessing=data.preprocessing,
        label_kind=labels.kind,
        recipe={"protocol": module.protocol, **_network(module), **_crop(data), **module.recipe()},
        tensors={name: tensor.detach().cpu() for name, tensor in module.recipe_tensors().items()},
        info={**credit(module), **(info or {})},
        codec=restore(codec.describe(), stored),
        learned_labels=labels.learned or labels.kind == "logits",  # no class index gives these back
    )


def credit(module: LightningModule) -> dict[str, str]:
    """Return the paper of a method; of one that is derived from a published method, what that is and no paper."""
    kind = type(module)
    published = next(each for each in kind.__mro__ if "paper" in vars(each))
    if published is kind or not published.paper:
        return {"paper": published.paper}
    return {"paper": "", "derived_from": f"{published.__name__}: {published.paper}"}


def _crop(data: ImageData) -> dict[str, bool]:
    """Return how test images of another size are to be treated, for the recipe; nothing where they are stretched."""
    return {"crop": True} if data.crop else {}


def _network(module: LightningModule) -> dict[str, Any]:
    """Return the network for the recipe; nothing of another library's, or where a method of kernels needs none."""
    with suppress(UserError):
        network = sample(module.evaluation_network, module.image_shape, module.num_classes)
        return {"network": network.made_from} if isinstance(network, Network) else {}
    return {}
