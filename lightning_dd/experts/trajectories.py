"""Reading expert trajectories: a folder of files, mapped into memory, and `experts.json` that says what they are."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from lightning_dd.artifact.preprocessing import Preprocessing
from lightning_dd.errors import UserError
from lightning_dd.experts.description import read_description
from lightning_dd.experts.provenance import describe_network, describe_preprocessing, same_preprocessing
from lightning_dd.experts.recording import expert_file


class Trajectories:
    """The weights of experts after each epoch, read when they are asked for.

    Args:
        folder: what `fit` with `--model Experts` made.

    Attributes:
        description: what the experts are, in plain values.
        numbers: of the finished experts.
        epochs: the last epoch that was kept of each.

    Raises:
        UserError: the folder holds no finished expert, or was made by a newer version.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.description = read_description(self.folder)
        if self.description is None or not self.description["experts"]:
            raise UserError(
                f"{folder} holds no finished experts; give --model.experts the folder that a run with "
                "configs/experts/ made (its --model.folder)."
            )
        self.numbers = [expert["number"] for expert in self.description["experts"]]
        self.epochs = self.description["training"]["keep_epochs"]

    def __len__(self) -> int:
        return len(self.numbers)

    def weights(self, index: int, epoch: int) -> Tensor:
        """Return an expert's weights after an epoch, `(W,)` float32; epoch 0 is its start.

        Raises:
            UserError: the file is missing or damaged.
        """
        return self._read(index, lambda file: file.get_slice("trajectory")[epoch])

    def final(self, index: int) -> Tensor:
        """Return an expert's weights after its last epoch, `(W,)` float32, whether that epoch was kept or not.

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

    def check(
        self,
        data: str,
        preprocessing: Preprocessing,
        image_shape: tuple[int, int, int],
        network: nn.Module,
        last_epoch: int,
    ) -> None:
        """Refuse experts that are not of a run's kind.

        Args:
            data: name of the run's data set.
            preprocessing: of the run's images, on the CPU.
            image_shape: `(C, H, W)`.
            network: of the run.
            last_epoch: the latest epoch that the run may ask for.

        Raises:
            UserError: of another data set, preprocessing or network, or with too few epochs.
        """
        theirs = self.description
        if theirs["data"]["name"] != data:
            raise UserError(
                f"The experts in {self.folder} learned {theirs['data']['name']}, but this run is on {data}."
            )
        if describe_network(network) != theirs["network"]:
            raise UserError(
                f"The experts in {self.folder} are networks {theirs['network']['name']}, this run's is another "
                f"({describe_network(network)['name']}); give the same --model.network."
            )
        if not same_preprocessing(describe_preprocessing(preprocessing, image_shape), theirs["preprocessing"]):
            raise UserError(
                f"The experts in {self.folder} saw other inputs (theirs: {theirs['preprocessing']['kind']}, ours: "
                f"{preprocessing.kind}); give the --data options zca, normalization and held_out that they had."
            )
        if self.epochs < last_epoch:
            raise UserError(
                f"The experts in {self.folder} have {self.epochs} epochs, and --model.max_start_epoch with "
                f"--model.expert_epochs reaches epoch {last_epoch}; lower these, or record more epochs."
            )
