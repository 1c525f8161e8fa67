"""Reading expert trajectories: a folder of files, mapped into memory, and its `experts.json`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from lightning_dd.errors import UserError
from lightning_dd.experts import provenance
from lightning_dd.experts.recording import expert_file

if TYPE_CHECKING:
    from lightning_dd.data import ImageData


class Trajectories:
    """The weights of experts after each epoch, read on demand.

    Args:
        folder: made by a run of `Experts`.

    Attributes:
        description: the content of `experts.json`.
        numbers: of the finished experts.
        epochs: the last epoch that was kept of each.

    Raises:
        UserError: the folder holds no finished expert, or was made by a newer version.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.description = provenance.read_description(self.folder)
        if self.description is None or not self.description["experts"]:
            raise UserError(
                f"{folder} holds no finished experts: record some with configs/experts/ and give their {{folder}} as "
                "{experts}."
            )
        self.numbers = [expert["number"] for expert in self.description["experts"]]
        self.epochs = self.description["training"]["keep_epochs"]

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def seconds(self) -> float | None:
        """How long the experts' training took; None where it is not known of one."""
        known = [expert.get("seconds") for expert in self.description["experts"]]
        return None if None in known else sum(known)

    def weights(self, index: int, epoch: int) -> Tensor:
        """Return an expert's weights after an epoch, `(W,)` float32; epoch 0 is its start.

        Raises:
            UserError: the file is missing or damaged.
        """
        return self._read(index, lambda file: file.get_slice("trajectory")[epoch])

    def final(self, index: int) -> Tensor:
        """Return an expert's weights after its last epoch, kept or not, `(W,)` float32.

        Raises:
            UserError: the file is missing or damaged.
        """
        return self._read(index, lambda file: file.get_tensor("final"))

    def _read(self, index: int, pick: Any) -> Tensor:
        path = expert_file(self.folder, self.numbers[index])
        try:
            with safe_open(path, "pt") as file:
                return pick(file).to(torch.float32, copy=True)
        except (SafetensorError, OSError) as error:
            raise UserError(f"The expert {path} cannot be read ({error}); delete it and record it again.") from None

    def check(self, data: "ImageData", network: nn.Module, last_epoch: int) -> None:
        """Refuse experts of other images, preprocessing or network than a run's, or of too few epochs.

        Raises:
            UserError: they are.
        """
        theirs, experts = self.description, f"The experts in {self.folder}"
        name, kind = theirs["network"]["name"], theirs["preprocessing"]["kind"]
        if theirs["data"]["name"] != data.name:
            raise UserError(f"{experts} learned {theirs['data']['name']}, but this run is on {data.name}.")
        if (seen := theirs["data"]["num_images"]) != len(data.train_labels):
            counts = f"{seen:,} training images, where this run has {len(data.train_labels):,}"
            raise UserError(f"{experts} learned {counts}; give {{data.held_out}} as they had it.")
        if other := provenance.other_data(provenance.describe_data(data), theirs["data"]):
            raise UserError(f"{experts} learned {other}; record some on these data.")
        if (ours := provenance.describe_network(network)) != theirs["network"]:
            kinds = f"{experts} are networks {name}, this run's is another ({ours['name']})"
            raise UserError(f"{kinds}; give the same {{model.network}}.")
        inputs = provenance.describe_preprocessing(data.preprocessing, data.image_shape)
        if not provenance.same_preprocessing(inputs, theirs["preprocessing"]):
            raise UserError(
                f"{experts} saw other inputs (theirs: {kind}, ours: {data.preprocessing.kind}); give {{data.zca}}, "
                "{data.normalization} and {data.held_out} as they had them."
            )
        if self.epochs < last_epoch:
            raise UserError(
                f"{experts} have {self.epochs} epochs, and {{max_start_epoch}} with {{expert_epochs}} reaches epoch "
                f"{last_epoch}; lower these, or record more epochs."
            )
