"""Distilled sets in the forms that other programs read."""

import io
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_dd.artifact.files import atomic
from lightning_dd.artifact.picture import save_picture
from lightning_dd.errors import UserError

if TYPE_CHECKING:
    from lightning_dd.artifact.dataset import DistilledDataset


class Exports:
    """A set in other forms and other places, as methods of `DistilledDataset`.

    Forms of tensors hold prepared (normalized or whitened) images; pictures are clipped and rounded to 8 bits.
    """

    def save_picture(self: "DistilledDataset", path: str | os.PathLike) -> None:
        """Write a PNG with the images, clipped to the valid range, beside or above their class names.

        Raises:
            UserError: the file cannot be written.
        """
        save_picture(path, self.images, self.hard_labels, self.class_names)

    def to_dict(self: "DistilledDataset") -> dict[str, Tensor]:
        """Return `x`, prepared images `(N, C, H, W)`, and `y`, class indices `(N,)`."""
        return {"x": self.prepared, "y": self.hard_labels}

    def to_vico(self: "DistilledDataset", path: str | os.PathLike) -> None:
        """Write what the code of DC, DSA and DM saves: `{"data": [[images, labels]]}`, prepared, in a `.pt` file.

        Labels are class indices, which is all that this form knows; `to_mtt` writes learned ones.

        Raises:
            UserError: the file cannot be written.
        """
        _save(path, {"data": [[self.prepared, self.hard_labels]]})

    def to_mtt(self: "DistilledDataset", folder: str | os.PathLike) -> None:
        """Write what the code of MTT and DATM saves: `images_best.pt`, `labels_best.pt` and `lr_best.pt`.

        Images are prepared; labels are class indices, logits or probabilities; the last is the learned step size, and
        is not there where the set has none.

        Raises:
            UserError: the labels are targets of a regression, which this form does not know, or a file cannot be
                written.
        """
        if self.label_kind == "targets":
            raise UserError("The form of MTT's code has no targets of a regression; its readers would train wrongly.")
        folder = Path(folder)
        _save(folder / "images_best.pt", self.prepared)
        _save(folder / "labels_best.pt", self.labels)
        rate = folder / "lr_best.pt"
        rate.unlink(missing_ok=True)  # that of an earlier set
        if "step_size" in self.recipe:
            _save(rate, torch.tensor(self.recipe["step_size"]))

    def to_folder(self: "DistilledDataset", folder: str | os.PathLike) -> None:
        """Write PNG files, a folder for each class; the folder is new or empty.

        Raises:
            UserError: it is neither, it cannot be written, or the images have another number of channels than 1 or 3.
        """
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder} is not empty: give a new folder, so that only this set's images are in it.")
        names, numbers = folder_names(self.class_names), [0] * self.num_classes
        for label, content in zip(self.hard_labels.tolist(), encoded(self.images), strict=True):
            with atomic(folder / names[label] / f"{numbers[label]:05}.png") as temporary:
                temporary.write_bytes(content)
            numbers[label] += 1

    def to_parquet(self: "DistilledDataset", path: str | os.PathLike) -> None:
        """Write a Parquet file in the layout of the Hugging Face hub: `image` (PNG) and `label`.

        Soft labels are in a third column, called as their kind: `probabilities`, `logits` or `targets`.

        Raises:
            UserError: the file cannot be written, or the images have another number of channels than 1 or 3.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        images = [{"bytes": content, "path": None} for content in encoded(self.images)]
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        columns = {"image": pa.array(images, kind), "label": pa.array(self.hard_labels.tolist(), pa.int64())}
        if self.label_kind != "index":
            columns[self.label_kind] = pa.array(self.labels.tolist(), pa.list_(pa.float32()))
        described = json.dumps({"info": {"features": features(self)}})
        table = pa.table(columns).replace_schema_metadata({"huggingface": described})
        with atomic(path) as temporary:
            pq.write_table(table, temporary)

    def save_pretrained(
        self: "DistilledDataset",
        folder: str | os.PathLike,
        *,
        license: str | None = None,
        card_kwargs: dict[str, Any] | None = None,
    ) -> None:
        """Write a folder to share: the artifact, an 8-bit copy for viewers, picture, record, config and a card.

        Paths of this machine in the record are cut to their last part. A `README.md` that is there stays as it is.

        Args:
            folder: for `distilled.safetensors`, `data/train-00000-of-00001.parquet`, `distilled.png`, `results.json`,
                `config.yaml` and `README.md`; the first is what `lightning_dd.load` reads.
            license: such as `cc-by-4.0`; mind that of the real images.
            card_kwargs: more entries of the card's head, such as `{"pretty_name": ..., "language": [...]}`; they
                replace ours.

        Raises:
            UserError: a file cannot be written, or the images have another number of channels than 1 or 3.
        """
        from lightning_dd.artifact.sharing import write_folder

        write_folder(self, Path(folder), license, card_kwargs)

    def push_to_hub(
        self: "DistilledDataset",
        repo_id: str,
        *,
        commit_message: str | None = None,
        private: bool | None = None,
        token: str | None = None,
        branch: str | None = None,
        create_pr: bool = False,
        license: str | None = None,
        card_kwargs: dict[str, Any] | None = None,
    ) -> str:
        """Upload the folder of `save_pretrained` to a data set on the Hugging Face hub, which is made where missing.

        A card that the data set has already stays as it is. This needs `pip install lightning-dd[hub]`.

        Args:
            repo_id: `organization/name`.
            commit_message: of the upload.
            private: whether a new data set is private; None leaves it to the organization.
            token: that may write; None takes the one of `hf auth login` or `HF_TOKEN`.
            branch: to upload to, made where missing; None is the main one.
            create_pr: open a pull request instead.
            license: as for `save_pretrained`.
            card_kwargs: as for `save_pretrained`.

        Returns:
            The address of the commit, or of the pull request.

        Raises:
            UserError: there is no token, the hub refuses, or it cannot be reached.
        """
        from lightning_dd.artifact.hub import push

        return push(self, repo_id, commit_message, private, token, branch, create_pr, license, card_kwargs)


def encoded(images: Tensor) -> list[bytes]:
    """Return images `(N, C, H, W)` in [0, 1] pixel units as PNG, clipped and rounded to 8 bits.

    Raises:
        UserError: they have another number of channels than 1 or 3.
    """
    from PIL import Image

    if images.shape[1] not in (1, 3):
        raise UserError(f"Pictures have 1 or 3 channels, and these images have {images.shape[1]}.")
    found = []
    for pixels in (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy():
        content = io.BytesIO()
        Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0]).save(content, "png")
        found.append(content.getvalue())
    return found


def features(distilled: "DistilledDataset") -> dict[str, Any]:
    """Return the columns of the Parquet file as the `datasets` package describes them."""
    found: dict[str, Any] = {
        "image": {"_type": "Image"},
        "label": {"names": list(distilled.class_names), "_type": "ClassLabel"},
    }
    if distilled.label_kind != "index":
        numbers = {"feature": {"dtype": "float32", "_type": "Value"}, "_type": "List"}
        found[distilled.label_kind] = numbers
    return found


def folder_names(class_names: tuple[str, ...]) -> list[str]:
    """Return a folder's name for each class: without separators and what some file systems refuse, all different."""
    names = [re.sub(r'[\\/:*?"<>|\x00-\x1f]', "_", name).strip(". ") or "_" for name in class_names]
    same = len({name.casefold() for name in names}) < len(names)
    return [f"{index:04}_{name}" for index, name in enumerate(names)] if same else names


def _save(path: str | os.PathLike, content: Any) -> None:
    written = io.BytesIO()  # into a file, torch would answer a full disk with an error that does not say so
    torch.save(content, written)
    with atomic(path) as temporary:
        temporary.write_bytes(written.getbuffer())
